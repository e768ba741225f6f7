"""Small builders of services, targets and events for the tests of the scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from bridge.events import Event, EventKind
from bridge.fdl.model import (
    Placement,
    ProviderRef,
    Resources,
    Service,
    StoragePath,
    TargetKind,
    TargetSpec,
)
from bridge.fdl.options import AwsOptions, BatchOptions
from bridge.scheduler import Decision, Estimate, Offer, Snapshot, TargetState

MIB = 2**20
GIB = 2**30
MINIO = ProviderRef("minio")
S3 = ProviderRef("s3")


def service(
    *, cpu: str = "1", memory: int = GIB, gpu: int = 0, storage: int | None = None, **more: Any
) -> Service:
    """A service of `functions.bridge` named resize that asks for 1 core and 1 GiB."""
    resources = Resources(Decimal(cpu), memory, gpu, storage)
    values: dict[str, Any] = {"name": "resize", "origin": "bridge", "image": "tool:1"}
    return Service(**(values | {"resources": resources} | more))


def on_batch(platform: str, **more: Any) -> Service:
    """A service of `functions.aws` that says what its Batch jobs run on."""
    return service(options=AwsOptions(batch=BatchOptions(platform=platform)), **more)  # type: ignore[arg-type]


def placed(base: Service, **placement: Any) -> Service:
    """The service with a `placement` block."""
    return replace(base, placement=Placement(**placement))


def path(provider: ProviderRef = S3, where: str = "bucket/in") -> StoragePath:
    """An input or output."""
    return StoragePath(provider, where)


def spec(name: str, kind: TargetKind, **more: Any) -> TargetSpec:
    """A target."""
    return TargetSpec(name, kind, **more)


FUNCTIONS = spec("aws-lambda", "lambda", region="us-east-1")
QUEUE = spec("aws-batch", "batch", region="us-east-1")
CLUSTER = spec("my-cluster", "oscar", slots=4)


def state(of: TargetSpec, run: float | None = None, **more: Any) -> TargetState:
    """A target's state; `run` is the measured run time of resize."""
    runs: Mapping[str, Estimate] = {} if run is None else {"resize": Estimate(run, 0.9)}
    return TargetState(of, runs=runs, **more)


def snapshot(*states: TargetState | TargetSpec) -> Snapshot:
    """The states at one moment; a bare spec is an idle target."""
    return Snapshot(tuple(TargetState(s) if isinstance(s, TargetSpec) else s for s in states))


def event(size: int | None = None, provider: str = "s3.default", key: str = "in/a.png") -> Event:
    """A new object."""
    return Event(EventKind.S3, provider, "bucket", key, size=size, etag="e1")


def filters(offer: Offer) -> list[str]:
    """Names of the filters that said no."""
    return [reason.filter for reason in offer.reasons]


def refusal(decision: Decision, target: str) -> list[str]:
    """The sentences against a target."""
    return [
        reason.sentence
        for candidate in decision.candidates
        if candidate.offer.target == target
        for reason in candidate.offer.reasons
    ]
