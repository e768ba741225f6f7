"""What a manager is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.dispatch import JobStore
from bridge.dispatch.tracing import Tracing
from bridge.fdl.model import ProviderRef
from bridge.secret import Secret
from bridge.targets import Target
from bridge.targets.kubernetes import Node
from bridge.targets.render import ProviderAccess
from manager.buckets import Buckets, CloudBuckets
from manager.minio_accounts import AccountServer
from manager.places import Measure
from manager.rollout import Images
from manager.store import ServiceStore

__all__ = ["Parts"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a manager is made of. The first of `targets` is where services are without a placement.

    `access` is how jobs reach the storage providers; targets hold the same mapping, and services
    add theirs to it. `cloud` are the buckets of S3, where events of S3 are pulled; a service brings
    its own keys to it as `s3.default` with the endpoint `cloud_endpoint` ("" for AWS's own; None
    where no service may). `measure` says how the targets stand; by default only their load is
    known. `nodes` are the machines of a cluster, where there is one. Into `tokens`, which targets
    may hold too, goes the token of each service before it is deployed. `accounts` makes keys that
    reach a service's buckets only, see `manager.accounts`. `tracing` makes spans of jobs. Of
    targets on AWS `abroad` is how their jobs reach providers, `images` makes what they run, and
    `mark` is another when nothing of what was made there before is left. Nothing of it is closed
    here.
    """

    state: ServiceStore
    jobs: JobStore
    buckets: Buckets
    targets: Mapping[str, Target]
    access: dict[ProviderRef, ProviderAccess] = field(default_factory=dict)
    cloud: CloudBuckets | None = None
    cloud_endpoint: str | None = None
    measure: Measure | None = None
    nodes: Callable[[], Sequence[Node]] = tuple
    tokens: dict[str, Secret] = field(default_factory=dict)
    accounts: AccountServer | None = None
    tracing: Tracing | None = None
    abroad: Mapping[ProviderRef, ProviderAccess] = field(default_factory=dict)
    images: Images = lambda service: service
    mark: str = ""
