"""Filters on what is known of a target now, and on what a job would take and cost there."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from bridge.errors import PlacementError
from bridge.fdl.model import Service
from bridge.scheduler import _words as words
from bridge.scheduler._filters._wishes import ec2
from bridge.scheduler._limits import most
from bridge.scheduler.model import Estimate, Machines, Offer, Spent, TargetState, Transfer

_MIB: Final = 2**20
_MOST: Final = 1e12  # jobs, seconds or cores: beyond it a measurement is a mistake
_BREAKERS: Final = frozenset({"closed", "open", "half-open"})


class Passing(str):
    """The sentence of a filter that will say something else by itself, so that a job may wait."""

    __slots__ = ()


def gpu(service: Service, state: TargetState) -> str:
    """GPUs: none on Lambda and Fargate; on EC2 the instance type brings them. Where the room was
    measured, that says it."""
    asked, spec = service.resources.gpu, state.spec
    if not asked or ec2(service, spec) or service.name in state.room:
        return ""
    if spec.kind == "lambda":
        return f"Lambda has no GPU; the service asks for {asked}"
    if spec.kind == "batch":
        return f"AWS Batch on Fargate has no GPU; the service asks for {asked}"
    if spec.gpu >= asked:
        return ""
    return f"{spec.name} has {spec.gpu or 'no'} GPU; the service asks for {asked}"


def arch(service: Service, state: TargetState) -> str:
    """The processor that the image is for; Lambda has both, a plain process takes no image."""
    spec = state.spec
    if spec.kind == "lambda" or not state.isolated or spec.arch == service.arch:
        return ""
    return f"the image of {service.name} is for {service.arch}; {spec.name} is {spec.arch}"


def image(service: Service, state: TargetState) -> str:
    """What is known of the image: the processors that it is for, and Lambda's largest."""
    known = state.image.get(service.name)
    if known is None or not state.isolated:
        return ""
    if known.archs and service.arch not in known.archs:
        archs = words.listed(sorted(known.archs))
        return f"the image {service.image} is for {archs}; {service.name} is for {service.arch}"
    high = most("lambda.image")
    if state.spec.kind != "lambda" or known.size is None or known.size <= high * _MIB:
        return ""
    has = words.megabytes(known.size)
    return f"Lambda allows at most {high} MB of image; {service.image} has {has}"


def isolated(service: Service, state: TargetState) -> str:
    """`require: {isolated: true}`: jobs run in containers."""
    if state.isolated or not service.placement.require.get("isolated"):
        return ""
    return f"the placement requires containers; {state.spec.name} runs plain processes"


def reach(service: Service, state: TargetState) -> str:
    """Every input and output must be within reach of the target."""
    known, beyond = state.providers, state.beyond
    if known is None and not beyond:
        return ""
    needed = dict.fromkeys(str(path.provider) for path in (*service.inputs, *service.outputs))
    missing = [one for one in needed if one in beyond or (known is not None and one not in known)]
    if not missing:
        return ""
    return f"{state.spec.name} cannot reach {words.listed(missing)}, which {service.name} uses"


def room(service: Service, state: TargetState) -> str:
    """What a job asks for and the target will never have, however long the job waits."""
    found = state.room.get(service.name)
    return found.why if found is not None and found.ever + found.more <= 0 else ""


def deployed(service: Service, state: TargetState) -> str:
    """What runs a service there is being made, or could not be."""
    why = state.absent.get(service.name)
    return Passing(f"{service.name} is not on {state.spec.name} yet: {why}") if why else ""


def breaker(_: Service, state: TargetState) -> str:
    """A target where jobs fail one after the other gets none until one has gone well."""
    if state.breaker == "closed":
        return ""
    if state.breaker == "open":
        return Passing(f"jobs failed on {state.spec.name} lately: it gets none for a while")
    if state.queued > 0:
        return Passing(f"jobs failed on {state.spec.name} lately: it is tried with one job now")
    return ""


def measurements(service: Service, state: TargetState) -> str:
    """Numbers that cannot be are not used, and neither is the target until they are right.

    A negative age is a clock that was set back: it counts as 0.
    """
    name = service.name
    try:
        if _sound(state, state.runs.get(name)) and _more_sound(name, state):
            return ""
    except (TypeError, AttributeError):  # a text where a number should be
        return f"{state.spec.name} was measured with what is not a number"
    wrong = [
        f"{what} {value}" for what, value, top in _values(name, state) if not 0 <= value <= top
    ]
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


def _more_sound(name: str, state: TargetState) -> bool:
    """The same of what few targets have measured."""
    run = state.runs.get(name)
    seldom = state.machines or state.cold or state.image or state.stage_in or state.stage_out
    kept = state.start_warm or state.warm
    if not (seldom or kept) and state.breaker == "closed":
        late = None if run is None else run.late
        return (
            (late is None or 0 <= late <= _MOST)
            and (state.start_late is None or 0 <= state.start_late <= _MOST)
            and (state.mean_run is None or 0 <= state.mean_run <= _MOST)
            and (state.mean_cpu is None or 0 <= state.mean_cpu <= _MOST)
        )
    return all(0 <= value <= top for _, value, top in _values(name, state))


def _values(name: str, state: TargetState) -> list[tuple[str, float, float]]:
    """Each number with its name and the most that it can be."""
    run, image = state.runs.get(name, Estimate(0.0)), state.image.get(name)
    moved = [one for one in (state.stage_in, state.stage_out) if isinstance(one, Transfer)]
    found = [
        ("running", state.running, _MOST),
        ("queued", state.queued, _MOST),
        ("failures", state.failures, 1),
        ("start", state.start or 0.0, _MOST),
        ("start_late", state.start_late or 0.0, _MOST),
        ("mean_run", state.mean_run or 0.0, _MOST),
        ("mean_cpu", state.mean_cpu or 0.0, _MOST),
        ("age", abs(state.age), _MOST),
        ("run", run.run, _MOST),
        ("confidence", run.confidence, 1),
        ("late", run.late or 0.0, _MOST),
        ("cold", state.cold.get(name, 0.0), 1),
        ("warm", state.warm.get(name, 0), _MOST),
        ("start_warm", state.start_warm or 0.0, _MOST),
        ("image", (image.size if image else None) or 0, _MOST * _MIB),
        ("image present", (image.present if image else None) or 0.0, 1),
        *(("transfer", number, _MOST) for one in moved for number in (one.latency, one.per_byte)),
        *(_of_machines(state.machines) if state.machines else ()),
    ]
    # A breaker that nobody knows is one more number that cannot be.
    return found if state.breaker in _BREAKERS else [*found, (f"breaker {state.breaker}", -1, 0)]


def _of_machines(has: Machines) -> list[tuple[str, float, float]]:
    return [
        ("nodes", has.nodes, _MOST),
        ("cpu", has.cpu, _MOST),
        ("free_cpu", has.free_cpu, _MOST),
        ("memory", has.memory, _MOST * _MIB),
        ("free_memory", has.free_memory, _MOST * _MIB),
    ]


def predicted_time(service: Service, offer: Offer, _: Spent) -> str:
    """A run that was measured to be longer than Lambda lets it be: usually, or 1 in 20 times."""
    high = most("lambda.timeout")
    if offer.kind != "lambda" or not offer.confidence:
        return ""
    if offer.run > high:
        return (
            f"Lambda stops a job after {words.exact_seconds(high)}; "
            f"{service.name} takes about {words.duration(offer.run)} there"
        )
    if offer.late is None or offer.late <= high:
        return ""
    return (
        f"Lambda stops a job after {words.exact_seconds(high)}; "
        f"1 in 20 of {service.name} takes more than {words.duration(offer.late)} there"
    )


def max_cost(service: Service, offer: Offer, _: Spent) -> str:
    """The money that one job may cost."""
    most = service.placement.max_cost
    if most is None or offer.cost <= most:
        return ""
    return f"a job would cost {words.money(offer.cost)} there; max_cost is {words.money(most)}"


def budget(service: Service, offer: Offer, spent: Spent) -> str:
    """The money that all jobs of a day or a month may cost; what costs nothing is always allowed.

    What is spent is what the snapshot says, and the price of what was placed in the same burst.
    """
    for period, limit in service.placement.budget.items() if offer.cost else ():
        if period not in _GONE:
            raise PlacementError(
                f"placement.budget.{period} of {service.name} is not known",
                hint="known are day and month",
            )
        gone = _GONE[period](spent)
        if not gone.is_finite():
            return Passing(f"what {service.name} has cost this {period} is not known: {gone}")
        if gone + offer.cost <= limit:
            continue
        cost, most = words.money(offer.cost), words.money(limit)
        if offer.cost > limit:
            return f"a job would cost {cost} there; the {period}'s budget is {most}"
        left = words.money(max(limit - gone, Decimal(0)))
        return Passing(
            f"a job would cost {cost} there; of the {period}'s budget of {most} {left} is left"
        )
    return ""


_GONE: Final = {"day": lambda spent: spent.day, "month": lambda spent: spent.month}
