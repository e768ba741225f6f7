"""Filters on what a target has, whatever happens there: sizes, limits, features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bridge.errors import PlacementError
from bridge.fdl.model import Service, TargetSpec
from bridge.fdl.options import OscarOptions
from bridge.scheduler import _words as words
from bridge.scheduler._kinds import AWS, NAMES, batch_platform
from bridge.scheduler._limits import most
from bridge.scheduler._sizes import fargate_size, lambda_too_small

_MIB: Final = 2**20


def lambda_memory(service: Service, spec: TargetSpec) -> str:
    """Lambda's memory."""
    return _lambda_most(service, spec, "lambda.memory", "memory", service.resources.memory)


def lambda_storage(service: Service, spec: TargetSpec) -> str:
    """Lambda's /tmp."""
    asked = service.resources.ephemeral_storage or 0
    return _lambda_most(service, spec, "lambda.ephemeral_storage", "temporary storage", asked)


def _lambda_most(_: Service, spec: TargetSpec, name: str, what: str, asked: int) -> str:
    if spec.kind != "lambda":
        return ""
    high = most(name)
    return lambda_too_small(what, asked, high) if asked > high * _MIB else ""


def lambda_timeout(service: Service, spec: TargetSpec) -> str:
    """Lambda's longest run."""
    high = most("lambda.timeout")
    if spec.kind != "lambda" or service.timeout is None or service.timeout <= high:
        return ""
    return (
        f"Lambda stops a job after {words.exact_seconds(high)}; "
        f"the service asks for {words.exact_seconds(service.timeout)}"
    )


def fargate(service: Service, spec: TargetSpec) -> str:
    """Fargate's sizes, where Batch runs on it."""
    if spec.kind != "batch" or batch_platform(service) != "FARGATE":
        return ""
    try:
        fargate_size(service.resources)
    except PlacementError as error:
        return error.message
    return ""


def cpu(service: Service, spec: TargetSpec) -> str:
    """The cores that the target declares."""
    if spec.cpu is None or service.resources.cpu <= spec.cpu:
        return ""
    return f"{spec.name} has {spec.cpu} cores; the service asks for {service.resources.cpu}"


def memory(service: Service, spec: TargetSpec) -> str:
    """The memory that the target declares."""
    if spec.memory is None or service.resources.memory <= spec.memory:
        return ""
    has, asked = words.gibibytes(spec.memory), words.gibibytes(service.resources.memory)
    return f"{spec.name} has {has} of memory; the service asks for {asked}"


def slots(_: Service, spec: TargetSpec) -> str:
    """A target that may run nothing at all."""
    return f"{spec.name} has no slots: it runs no jobs" if spec.slots == 0 else ""


def _exposed(options: OscarOptions) -> bool:
    return options.expose is not None and bool(options.expose.api_port)


_FEATURES: Final[tuple[tuple[str, Callable[[OscarOptions], bool]], ...]] = (
    ("a service that is exposed at a URL (expose)", _exposed),
    ("a volume (volume)", lambda o: o.volume is not None),
    ("a mounted bucket (mount)", lambda o: o.mount is not None),
    ("an SGX enclave (enable_sgx)", lambda o: o.enable_sgx),
    ("an interLink node (interlink_node_name)", lambda o: bool(o.interlink_node_name)),
    ("a KServe model (kserve)", lambda o: o.kserve is not None),
)


def features(service: Service, spec: TargetSpec) -> str:
    """What only a cluster has."""
    options = service.options
    if spec.kind not in AWS or not isinstance(options, OscarOptions):
        return ""
    asked = [name for name, has in _FEATURES if has(options)]
    return f"{NAMES[spec.kind]} does not have {words.listed(asked)}" if asked else ""


def cost_per_hour(_: Service, spec: TargetSpec) -> str:
    """A price, or an amount of carbon, that cannot be."""
    price, carbon = spec.cost_per_hour, spec.carbon_per_hour
    if not (price.is_finite() and price >= 0):
        return f"{spec.name} gives {price} USD as its cost_per_hour, which cannot be"
    if carbon is not None and not 0 <= carbon < float("inf"):
        return f"{spec.name} gives {carbon} g as its carbon_per_hour, which cannot be"
    return ""
