"""What the kinds of target have in common, and which of them a service may go to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from bridge.fdl.model import ExecutionMode, Service, TargetKind, TargetSpec
from bridge.fdl.options import AwsOptions
from bridge.scheduler._prices import list_prices

AWS: Final[frozenset[TargetKind]] = frozenset({"lambda", "batch"})
_BOTH: Final[ExecutionMode] = "lambda-batch"

# What a person calls them.
NAMES: Final[Mapping[TargetKind, str]] = {
    "batch": "AWS Batch",
    "knative": "Knative",
    "kubernetes": "Kubernetes",
    "lambda": "Lambda",
    "local": "this machine",
    "oscar": "an OSCAR cluster",
}


def region_of(spec: TargetSpec) -> str:
    """The target's region; an AWS target that names none is in the default one."""
    if spec.region or spec.kind not in AWS:
        return spec.region
    return list_prices().default_region


def batch_platform(service: Service) -> Literal["EC2", "FARGATE"]:
    """Where Batch runs the service: what the file says, else Fargate, which has no GPU."""
    options = service.options
    if isinstance(options, AwsOptions):
        return options.batch.platform
    return "EC2" if service.resources.gpu else "FARGATE"


def first_choice(service: Service) -> tuple[str, ...]:
    """The targets that the file allows, without fallbacks; empty when it allows all."""
    placement = service.placement
    if not placement.targets:
        return (service.pin,) if service.pin else ()
    return tuple(dict.fromkeys((*filter(None, (service.pin,)), *placement.targets)))


def is_first_choice(service: Service, spec: TargetSpec) -> bool:
    """Whether the target comes into question before any fallback.

    `lambda-batch` without a list of targets stands for Lambda and Batch alike.
    """
    names = first_choice(service)
    if not names or spec.name in names:
        return True
    both = service.execution_mode == _BOTH and not service.placement.targets
    return both and spec.kind in AWS


def arch_of(service: Service, spec: TargetSpec) -> str:
    """The processor that a job would run on: Lambda has the one that the service is for."""
    return service.arch if spec.kind == "lambda" else spec.arch
