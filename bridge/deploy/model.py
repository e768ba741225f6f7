"""The values of this room: what is wanted, what has to change, and what became of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from bridge.fdl.model import Document
from bridge.images import ImagePlan
from bridge.secret import Secret

__all__ = [
    "DEPLOYMENT_TAG",
    "OWNER_TAG",
    "Action",
    "Assembly",
    "AssetStep",
    "BucketStep",
    "Change",
    "FileAsset",
    "ImageStep",
    "Kind",
    "Plan",
    "PropertyChange",
    "SecretStep",
    "ServiceStep",
    "Settings",
    "Stack",
    "StackStep",
    "Step",
    "Template",
    "is_ours",
]

Kind = Literal["bucket", "image", "secret", "asset", "stack", "resource", "service"]
Action = Literal["create", "update", "replace", "delete", "none"]
Template = Mapping[str, Any]

OWNER_TAG: Final = ("createdby", "oscar-bridge")
DEPLOYMENT_TAG: Final = "oscar-bridge:deployment"


def is_ours(tags: Mapping[str, str]) -> bool:
    """Whether what has these tags was made by OSCAR Bridge."""
    return tags.get(OWNER_TAG[0]) == OWNER_TAG[1]


@dataclass(frozen=True, slots=True)
class Settings:
    """How to make an assembly.

    `name` is the deployment's, "" for the file's own. `images` is `push` or `as-is`, "" for the
    CDK app's default; `stacks` is how many the file's services are spread over, 0 for its default.
    """

    name: str = ""
    images: str = ""
    policy: str = ""
    stacks: int = 0


@dataclass(frozen=True, slots=True)
class FileAsset:
    """A file or a folder (sent as a zip archive) that a template refers to by bucket and key."""

    source: Path
    packaging: Literal["file", "zip"]
    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack as it is wanted. `region` may be "" for that of the account."""

    name: str
    template: Template
    tags: Mapping[str, str] = field(default_factory=dict)
    region: str = ""
    protected: bool = False
    assets: tuple[FileAsset, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The template's content, for comparing; the order of its keys does not count."""
        text = json.dumps(self.template, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Assembly:
    """The stacks of one deployment, in the order in which they are made; `base` names the first.

    `own_assets` is the bucket of assets that apply makes itself, "" where the account is
    bootstrapped for the CDK. `document` is the FDL file, for its secrets and images; None for what
    was deployed before. `images` is how images are had, as in `Settings`. `notes` are the app's
    warnings.
    """

    name: str
    base: str
    stacks: tuple[Stack, ...]
    own_assets: str = ""
    document: Document | None = None
    images: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """One property: JSON before and after, "" where there is none; secrets are masked."""

    path: str
    before: str
    after: str
    recreates: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A row of the change set.

    `type` is CloudFormation's, or `OSCAR::Service`; `stack` is the stack or the cluster that it is
    in.
    """

    kind: Kind
    action: Action
    name: str
    type: str = ""
    stack: str = ""
    properties: tuple[PropertyChange, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class BucketStep:
    """Make the bucket of our assets."""

    name: str

    @property
    def changes(self) -> tuple[Change, ...]:
        """What it means."""
        why = "holds code and documents until the stacks take them"
        return (Change("bucket", "create", self.name, why=why),)


@dataclass(frozen=True, slots=True)
class ImageStep:
    """Make and push the image of services that share one."""

    plan: ImagePlan
    services: tuple[str, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """What it means."""
        why = f"for {', '.join(self.services)}: {self.plan.why}"
        return (Change("image", "create", str(self.plan.target), why=why),)


@dataclass(frozen=True, slots=True)
class SecretStep:
    """Write a service's secret. `values` are never shown, not even whether they are long."""

    name: str
    values: Mapping[str, Mapping[str, Secret]] = field(repr=False)
    action: Action
    tags: Mapping[str, str] = field(default_factory=dict)
    why: str = ""

    @property
    def changes(self) -> tuple[Change, ...]:
        """What it means."""
        return (Change("secret", self.action, self.name, why=self.why),)


@dataclass(frozen=True, slots=True)
class AssetStep:
    """Send a file that is not there yet."""

    asset: FileAsset

    @property
    def changes(self) -> tuple[Change, ...]:
        """What it means."""
        return (Change("asset", "create", f"s3://{self.asset.bucket}/{self.asset.key}"),)


@dataclass(frozen=True, slots=True)
class StackStep:
    """Create, update or delete a stack.

    `seen` is the stack as the plan saw it, to notice that somebody changed it since; `status` its
    state then. `first` are logical ids that the deployed template has and that are taken out
    before all else: what was deleted by hand, what keeps its name while it is replaced, and names
    that move to another stack.
    """

    stack: Stack
    action: Action
    resources: tuple[Change, ...] = ()
    seen: str = ""
    status: str = ""
    first: tuple[str, ...] = ()
    properties: tuple[PropertyChange, ...] = ()
    why: str = ""

    @property
    def changes(self) -> tuple[Change, ...]:
        """What it means: the stack, then its resources."""
        name = self.stack.name
        own = Change("stack", self.action, name, properties=self.properties, why=self.why)
        return (own, *self.resources)


@dataclass(frozen=True, slots=True)
class ServiceStep:
    """Create, update or delete a service of an OSCAR cluster; deleting keeps its buckets.

    `body` is what the cluster's API takes, with `Secret`s in it.
    """

    cluster: str
    name: str
    action: Action
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    properties: tuple[PropertyChange, ...] = ()
    why: str = ""

    @property
    def changes(self) -> tuple[Change, ...]:
        """What it means."""
        return (
            Change(
                "service",
                self.action,
                self.name,
                type="OSCAR::Service",
                stack=self.cluster,
                properties=self.properties,
                why=self.why,
            ),
        )


Step = BucketStep | ImageStep | SecretStep | AssetStep | StackStep | ServiceStep


@dataclass(frozen=True, slots=True)
class Plan:
    """Ordered steps from what is there to what is wanted; computed by reads only.

    `base` is the base stack's name. `spool` is a bucket for large templates. `notes` are sentences
    for the user that are not changes. `restores` is the entry of the history that it goes back to.
    Where nothing of AWS is meant, `base`, `account` and `region` are "".
    """

    name: str
    base: str
    account: str
    region: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    spool: str = ""
    restores: int = 0

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every row, unchanged stacks included."""
        return tuple(change for step in self.steps for change in step.changes)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return all(change.action == "none" for change in self.changes)

    @property
    def clusters(self) -> tuple[str, ...]:
        """The clusters that steps are about."""
        named = (step.cluster for step in self.steps if isinstance(step, ServiceStep))
        return tuple(dict.fromkeys(named))

    @property
    def stacks(self) -> tuple[StackStep, ...]:
        """The steps that are about stacks."""
        return tuple(step for step in self.steps if isinstance(step, StackStep))

    def differs(self, other: Plan) -> bool:
        """Whether doing the other plan means something else."""
        return _essence(self) != _essence(other)


def _essence(plan: Plan) -> list[tuple[str, str, str, str]]:
    found = [(one.kind, one.action, one.name, one.stack) for one in plan.changes]
    return sorted(row for row in found if row[1] != "none")
