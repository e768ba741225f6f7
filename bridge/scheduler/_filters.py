"""The filters: each says in a sentence for a person why a target cannot run a service, or "".

The size of an event is no filter: a payload above a limit goes by reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.errors import PlacementError
from bridge.fdl.model import Service, TargetSpec
from bridge.fdl.options import OscarOptions
from bridge.scheduler import _words as words
from bridge.scheduler._kinds import (
    AWS,
    NAMES,
    arch_of,
    batch_platform,
    first_choice,
    is_first_choice,
    region_of,
)
from bridge.scheduler._limits import most
from bridge.scheduler._sizes import fargate_size, lambda_too_small
from bridge.scheduler.model import Estimate, Offer, Reason, TargetState

SpecCheck = Callable[[Service, TargetSpec], str]
StateCheck = Callable[[Service, TargetState], str]
OfferCheck = Callable[[Service, Offer], str]

_MIB: Final = 2**20
_MOST: Final = 1e12  # jobs or seconds: beyond it a measurement is a mistake


def pin(service: Service, spec: TargetSpec) -> str:
    """The file's position, `placement.targets` and `placement.fallback` name who may run it."""
    if is_first_choice(service, spec) or spec.name in service.placement.fallback:
        return ""
    only = words.listed(dict.fromkeys((*first_choice(service), *service.placement.fallback)))
    if service.placement.targets or service.placement.fallback:
        return f"the placement of {service.name} allows only {only}"
    return f"the FDL file pins {service.name} to {only}"


def mode(service: Service, spec: TargetSpec) -> str:
    """`execution_mode` chooses between Lambda and Batch."""
    wanted = service.execution_mode
    if spec.kind not in AWS or wanted in (None, "lambda-batch", spec.kind):
        return ""
    return f"execution_mode is {wanted}; {spec.name} is {NAMES[spec.kind]}"


def require(service: Service, spec: TargetSpec) -> str:
    """`placement.require`: every key must hold. PlacementError for a key that we do not know."""
    broken = [
        sentence
        for key, wanted in service.placement.require.items()
        if (sentence := _requirement(service, spec, key, wanted))
    ]
    return "; ".join(broken)


def _requirement(service: Service, spec: TargetSpec, key: str, wanted: Any) -> str:
    if key == "isolated":  # not the target's own: see the filter of that name
        return ""
    if key == "gpu":
        has = spec.gpu or (_ec2(service, spec) and service.resources.gpu)
        return "" if has >= int(wanted) else f"the placement requires a GPU; {spec.name} has none"
    if key not in _TRAITS:
        raise PlacementError(
            f"placement.require.{key} of {service.name} is not a known requirement",
            hint="known are arch, gpu, isolated, kind and region",
        )
    found = _TRAITS[key](service, spec)
    if found == wanted:
        return ""
    has_what = f"is in {found}" if key == "region" else f"is {found}"
    return (
        f"the placement requires {key} {wanted}; "
        f"{spec.name} {has_what if found else f'names no {key}'}"
    )


_TRAITS: Final[Mapping[str, Callable[[Service, TargetSpec], str]]] = {
    "arch": arch_of,
    "kind": lambda _, spec: spec.kind,
    "region": lambda _, spec: region_of(spec),
}


def _ec2(service: Service, spec: TargetSpec) -> bool:
    return spec.kind == "batch" and batch_platform(service) == "EC2"


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


def gpu(service: Service, state: TargetState) -> str:
    """GPUs: none on Lambda and Fargate; on EC2 the instance type brings them. Where the room was
    measured, that says it."""
    asked, spec = service.resources.gpu, state.spec
    if not asked or _ec2(service, spec) or service.name in state.room:
        return ""
    if spec.kind == "lambda":
        return f"Lambda has no GPU; the service asks for {asked}"
    if spec.kind == "batch":
        return f"AWS Batch on Fargate has no GPU; the service asks for {asked}"
    if spec.gpu >= asked:
        return ""
    return f"{spec.name} has {spec.gpu or 'no'} GPU; the service asks for {asked}"


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
    """A price that is no price."""
    price = spec.cost_per_hour
    if price.is_finite() and price >= 0:
        return ""
    return f"{spec.name} gives {price} USD as its cost_per_hour, which cannot be"


def arch(service: Service, state: TargetState) -> str:
    """The processor that the image is for; Lambda has both, a plain process takes no image."""
    spec = state.spec
    if spec.kind == "lambda" or not state.isolated or spec.arch == service.arch:
        return ""
    return f"the image of {service.name} is for {service.arch}; {spec.name} is {spec.arch}"


def isolated(service: Service, state: TargetState) -> str:
    """`require: {isolated: true}`: jobs run in containers."""
    if state.isolated or not service.placement.require.get("isolated"):
        return ""
    return f"the placement requires containers; {state.spec.name} runs plain processes"


def reach(service: Service, state: TargetState) -> str:
    """Every input and output must be within reach of the target."""
    known = state.providers
    if known is None:
        return ""
    needed = dict.fromkeys(str(path.provider) for path in (*service.inputs, *service.outputs))
    missing = [name for name in needed if name not in known]
    if not missing:
        return ""
    return f"{state.spec.name} cannot reach {words.listed(missing)}, which {service.name} uses"


def room(service: Service, state: TargetState) -> str:
    """What a job asks for and the target will never have, however long the job waits."""
    found = state.room.get(service.name)
    return found.why if found is not None and found.ever + found.more <= 0 else ""


def measurements(service: Service, state: TargetState) -> str:
    """Numbers that cannot be are not used, and neither is the target until they are right.

    A negative age is a clock that was set back: it counts as 0.
    """
    if _sound(state, state.runs.get(service.name)):
        return ""
    run = state.runs.get(service.name, Estimate(0.0))
    values: dict[str, tuple[float, float]] = {
        "running": (state.running, _MOST),
        "queued": (state.queued, _MOST),
        "failures": (state.failures, 1),
        "start": (state.start or 0.0, _MOST),
        "age": (abs(state.age), _MOST),
        "run": (run.run, _MOST),
        "confidence": (run.confidence, 1),
    }
    wrong = [f"{name} {value}" for name, (value, top) in values.items() if not 0 <= value <= top]
    return f"{state.spec.name} was measured with {words.listed(wrong)}, which cannot be"


def _sound(state: TargetState, run: Estimate | None) -> bool:
    """Whether every number is one (not NaN), not negative and not absurd."""
    return (
        0 <= state.running <= _MOST
        and 0 <= state.queued <= _MOST
        and 0 <= state.failures <= 1
        and (state.start is None or 0 <= state.start <= _MOST)
        and -_MOST <= state.age <= _MOST
        and (run is None or (0 <= run.run <= _MOST and 0 <= run.confidence <= 1))
    )


def predicted_time(service: Service, offer: Offer) -> str:
    """A run that was measured to be longer than Lambda lets it be."""
    high = most("lambda.timeout")
    if offer.kind != "lambda" or not offer.confidence or offer.run <= high:
        return ""
    return (
        f"Lambda stops a job after {words.exact_seconds(high)}; "
        f"{service.name} takes about {words.duration(offer.run)} there"
    )


def max_cost(service: Service, offer: Offer) -> str:
    """The money that one job may cost."""
    most = service.placement.max_cost
    if most is None or offer.cost <= most:
        return ""
    return f"a job would cost {words.money(offer.cost)} there; max_cost is {words.money(most)}"


@dataclass(frozen=True, slots=True)
class Filters:
    """All filters by what they look at, in the order in which their reasons are listed.

    Those of `spec` are asked once per service and target, those of `state` and `offer` each time.
    """

    spec: Mapping[str, SpecCheck]
    state: Mapping[str, StateCheck]
    offer: Mapping[str, OfferCheck]


FILTERS: Final = Filters(
    spec={
        "targets": pin,
        "execution-mode": mode,
        "require": require,
        "lambda-memory": lambda_memory,
        "lambda-timeout": lambda_timeout,
        "lambda-storage": lambda_storage,
        "fargate-size": fargate,
        "cpu": cpu,
        "memory": memory,
        "slots": slots,
        "features": features,
        "cost-per-hour": cost_per_hour,
    },
    state={
        "gpu": gpu,
        "arch": arch,
        "isolated": isolated,
        "reach": reach,
        "room": room,
        "measurements": measurements,
    },
    offer={"predicted-time": predicted_time, "max-cost": max_cost},
)


def refusals(
    checks: Iterable[tuple[str, Callable[[Service, Any], str]]], service: Service, what: object
) -> tuple[Reason, ...]:
    """The reasons of all checks that say no."""
    found = []
    for name, check in checks:
        sentence = check(service, what)
        if sentence:
            found.append(Reason(name, sentence))
    return tuple(found)
