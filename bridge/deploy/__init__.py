"""Deploying: what is wanted less what is there is a `Plan`; apply, destroy, drift, rollback.

    synth (the CDK app, as a program of its own) → Assembly
    plan (reads only) → Plan, ordered typed steps that can be printed, compared and tested
    apply (under a lock; may be stopped anywhere and done again) → Applied, and the history

That is AWS's side; services of OSCAR clusters have plans of their own kind (`bridge.deploy.sides`).
A destruction and a rollback are plans too. docs/deploying.md and docs/clusters.md tell the rest.
"""

from bridge.deploy._destroy import destruction
from bridge.deploy._drift import Drifted, DriftReport, drift
from bridge.deploy._executor import Applied, apply
from bridge.deploy._history import Entry, History
from bridge.deploy._images import repository, service_images
from bridge.deploy._names import deployment_name
from bridge.deploy._planner import plan
from bridge.deploy._reach import reaching, unreached
from bridge.deploy._rollback import restoration
from bridge.deploy._secrets import all_secrets, secret_steps, write_secret
from bridge.deploy._stacks import Pace
from bridge.deploy._synth import check_tools, synth
from bridge.deploy.assembly import read_assembly
from bridge.deploy.model import (
    Assembly,
    AssetStep,
    BucketStep,
    Change,
    FileAsset,
    ImageStep,
    Plan,
    PropertyChange,
    SecretStep,
    ServiceStep,
    Settings,
    Stack,
    StackStep,
    Step,
)
from bridge.deploy.sides import (
    AwsSide,
    ClusterSide,
    OnClusters,
    Side,
    cluster_drift,
    cluster_sides,
    joined,
    last_side,
)
from bridge.deploy.watch import Silent, Watch

__all__ = [
    "Applied",
    "Assembly",
    "AssetStep",
    "AwsSide",
    "BucketStep",
    "Change",
    "ClusterSide",
    "DriftReport",
    "Drifted",
    "Entry",
    "FileAsset",
    "History",
    "ImageStep",
    "OnClusters",
    "Pace",
    "Plan",
    "PropertyChange",
    "SecretStep",
    "ServiceStep",
    "Settings",
    "Side",
    "Silent",
    "Stack",
    "StackStep",
    "Step",
    "Watch",
    "all_secrets",
    "apply",
    "check_tools",
    "cluster_drift",
    "cluster_sides",
    "deployment_name",
    "destruction",
    "drift",
    "joined",
    "last_side",
    "plan",
    "reaching",
    "read_assembly",
    "repository",
    "restoration",
    "secret_steps",
    "service_images",
    "synth",
    "unreached",
    "write_secret",
]
