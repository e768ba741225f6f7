"""The machines behind a Batch queue, as the FDL's `batch` section asks for them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Final, Literal

from bridge.fdl import AwsOptions
from bridge.fdl.model import Service
from bridge.fdl.options import BatchOptions, ComputeResources
from bridge.scheduler import batch_platform
from bridge.targets.aws.definitions import cores

__all__ = ["Machines", "own_machines", "shared_machines"]

# Families for jobs that the default ones cannot run.
_GPU: Final = ("g4dn", "g5")
_ARM: Final = ("c7g", "m7g", "r7g")
_MOST_CPUS: Final = 256
_UNSET: Final = ComputeResources()
_TEMPLATE: Final = _UNSET.launch_template_name


@dataclass(frozen=True, slots=True)
class Machines:
    """A compute environment with its queue. Empty subnets, groups and roles mean the base's."""

    type: Literal["EC2", "SPOT", "FARGATE", "FARGATE_SPOT"]
    min_cpus: int = 0
    desired_cpus: int = 0
    max_cpus: int = _MOST_CPUS
    instance_types: tuple[str, ...] = ("optimal",)
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    instance_role: str = ""
    launch_template: str = ""
    service_role: str = ""
    state: str = "ENABLED"
    managed: bool = True

    @property
    def on_fargate(self) -> bool:
        """Whether Fargate runs the jobs."""
        return self.type.startswith("FARGATE")

    def digest(self, scope: str) -> str:
        """A short name of these settings within a scope: a stack's name."""
        text = json.dumps([scope, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]


def shared_machines(platform: Literal["EC2", "FARGATE"]) -> Machines:
    """Those of the base stack."""
    return Machines(platform)


def own_machines(service: Service) -> Machines | None:
    """The machines that only this kind of job has; None where the shared ones do.

    `service` is its Batch side.
    """
    batch = service.options.batch if isinstance(service.options, AwsOptions) else BatchOptions()
    if _describes(batch):
        return _described(service, batch)
    if batch_platform(service) == "FARGATE":
        return None
    if service.resources.gpu:
        return Machines("EC2", instance_types=_GPU)
    return Machines("EC2", instance_types=_ARM) if service.arch == "arm64" else None


def _describes(batch: BatchOptions) -> bool:
    given = (batch.compute_resources, batch.service_role, batch.state, batch.type)
    return given != (_UNSET, "", "ENABLED", "MANAGED")


def _described(service: Service, batch: BatchOptions) -> Machines:
    wanted = batch.compute_resources
    fargate = batch_platform(service) == "FARGATE"
    kind = wanted.type
    if fargate and not kind.startswith("FARGATE"):
        kind = "FARGATE_SPOT" if kind == "SPOT" else "FARGATE"
    types = wanted.instance_types
    if types == _UNSET.instance_types:
        types = _GPU if service.resources.gpu else _ARM if service.arch == "arm64" else types
    return Machines(
        type=kind,
        min_cpus=wanted.min_v_cpus,
        desired_cpus=wanted.desired_v_cpus,
        max_cpus=max(wanted.max_v_cpus, cores(service)),
        instance_types=types,
        subnets=wanted.subnets,
        security_groups=wanted.security_group_ids,
        instance_role=wanted.instance_role,
        launch_template=""
        if wanted.launch_template_name == _TEMPLATE
        else wanted.launch_template_name,
        service_role=batch.service_role,
        state=batch.state,
        managed=batch.type == "MANAGED",
    )
