"""Grammar of our own blocks: `placement` on a service, and the top-level `targets`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, get_args

from bridge.fdl import plugins
from bridge.fdl._context import Context
from bridge.fdl._kinds import (
    Amount,
    Choice,
    ChoiceOrInstalled,
    Flag,
    Free,
    Real,
    Text,
    Whole,
)
from bridge.fdl._records import Field, ListOf, MapOf, Record, Section
from bridge.fdl._tree import did_you_mean, one_of
from bridge.fdl.model import Placement, Service, TargetKind, TargetSpec

KINDS: Final[tuple[TargetKind, ...]] = get_args(TargetKind)
LAMBDA: Final = "aws-lambda"
BATCH: Final = "aws-batch"
DEFAULT_REGION: Final = "us-east-1"
POLICIES: Final = (
    "pinned",
    "cheapest",
    "fastest",
    "balanced",
    "locality",
    "deadline",
    "budget",
    "hedge",
    "static",
    "random",
    "round-robin",
    "least-load",
    "load-based",
    "topsis",
)
TERMS: Final = (
    "carbon",
    "compute-price",
    "cost",
    "finish",
    "free-cpu",
    "free-memory",
    "freshness",
    "load",
    "locality",
    "nodes",
    "order",
    "preference",
    "queued",
    "reliability",
    "request-price",
    "run",
    "start",
    "storage-price",
    "transfer",
    "transfer-price",
    "wait",
)
_POLICY: Final = ChoiceOrInstalled(plugins.Words(POLICIES, plugins.POLICIES))
ARCH: Final = Choice(("amd64", "arm64"), other={"x86_64": "amd64", "aarch64": "arm64"})
_KIND: Final = Choice(KINDS)

_REQUIRE: Final = Record(
    "placement_require",
    "What a target must have.",
    (
        Field("gpu", Flag(), "has a GPU (true), or may have one or not (false)"),
        Field("arch", ARCH, "processor architecture of the image"),
        Field("region", Text(), "region that the target is in"),
        Field("kind", _KIND, "kind of target"),
        Field("isolated", Flag(), "runs jobs in containers, not as plain processes"),
    ),
)
_PREFER: Final = Record(
    "placement_prefer",
    "What a target had better have.",
    (
        Field("target", Text(), "name of a target"),
        Field("region", Text(), "region that the target is in"),
        Field("kind", _KIND, "kind of target"),
        Field("arch", ARCH, "processor architecture"),
    ),
)
_NAMES: Final = ListOf(Text(), lone=True)
_AVOID: Final = Record(
    "placement_avoid",
    "What a target must not be.",
    (
        Field("target", _NAMES, "names of targets"),
        Field("region", _NAMES, "regions"),
        Field("kind", ListOf(_KIND, lone=True), "kinds of target"),
    ),
)
_BUDGET: Final = Record(
    "placement_budget",
    "What all jobs of the service together may cost in USD.",
    (
        Field("day", Amount("money"), "in a day (UTC)"),
        Field("month", Amount("money"), "in a month (UTC)"),
    ),
)
_WEIGHTS: Final = MapOf(Real(), what="a score term", words=plugins.Words(TERMS, plugins.TERMS))
PLACEMENT: Final = Record(
    "placement",
    "Where the scheduler may place a service, and how it chooses.",
    (
        Field("targets", _NAMES, "names of the targets that may run it; default: all"),
        Field("policy", _POLICY, "how a target is chosen"),
        Field("require", _REQUIRE, "hard conditions"),
        Field("prefer", _PREFER, "soft wishes"),
        Field("deadline", Amount("duration"), "time per job, from the event to the outputs"),
        Field("max_cost", Amount("money"), "cost per job in USD"),
        Field("fallback", _NAMES, "targets to try when a submit fails or waits too long"),
        Field("weights", _WEIGHTS, "weight of each score term"),
        Field("avoid", _AVOID, "hard conditions the other way round"),
        Field(
            "residency",
            _NAMES,
            "regions that data may be in; eu stands for all that begin with eu-",
        ),
        Field("budget", _BUDGET, "cost of all jobs"),
        Field("shadow", _POLICY, "a policy that is asked too, and does not decide"),
    ),
    make=Placement,
)

TARGET: Final = Record(
    "target",
    "A place that can run services.",
    (
        Field("kind", _KIND, f"kind of target: {one_of(KINDS)}"),
        Field("region", Text(), "region, for distances and prices"),
        Field("arch", ARCH, "processor architecture"),
        Field("gpu", Whole(flags=True), "number of GPUs"),
        Field("cpu", Amount("cpu"), "cores that it can give at once"),
        Field("memory", Amount("memory"), "memory that it can give at once"),
        Field("slots", Whole(low=1), "jobs that it can run at once"),
        Field("cost_per_hour", Amount("money"), "USD for one busy vCPU-hour"),
        Field("carbon_per_hour", Real(), "grams of CO2e for one busy vCPU-hour"),
        Field("vos", _NAMES, "virtual organisations whose services it runs; default: all"),
        Field("endpoint", Text(), "short for settings.endpoint"),
        Field("settings", Free(), "what this kind of target needs to be reached"),
    ),
    make=TargetSpec,
)
TARGETS: Final = MapOf(
    TARGET, keys=r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", what="a name for a target"
)


def placement(section: Section, context: Context) -> Placement:
    """The `placement` block under a service's section, or its defaults."""
    if "placement" not in section:
        return Placement()
    block = section.sub("placement")
    for key in ("targets", "fallback"):
        for n, name in enumerate(block.get(key)):
            _check_target(name, block, key, n, context)
    prefer = block.sub("prefer")
    if "target" in prefer:
        _check_target(prefer.get("target"), prefer, "target", None, context)
    avoid = block.sub("avoid")
    for n, name in enumerate(avoid.get("target") or ()):
        _check_target(name, avoid, "target", n, context)
    _check_choice(block, context)
    return _placement(block)


def _check_choice(block: Section, context: Context) -> None:
    """What a policy needs, and weights that say something."""
    weights = block.get("weights")
    if weights and not any(weights.values()):
        context.log.at(block.place("weights"), "all weights are 0, so nothing would count")
    for key in ("policy", "shadow"):
        policy = block.get(key)
        needed = _NEEDED.get(policy, ())
        if needed and not any(name in block for name in needed):
            message = f"the policy {policy} needs {' or '.join(needed)}"
            context.log.at(block.place(key), message, f"write {needed[0]} beside it")


_NEEDED: Final = {"deadline": ("deadline",), "budget": ("max_cost", "budget")}


def _placement(block: Section) -> Placement:
    built: Placement = block.build(
        require=dict(block.sub("require").values),
        prefer=dict(block.sub("prefer").values),
        avoid=dict(block.sub("avoid").values),
        budget=dict(block.sub("budget").values),
        place=block.place(),
    )
    return built


def _check_target(name: str, block: Section, key: str, item: int | None, context: Context) -> None:
    if name in context.targets:
        return
    known = tuple(sorted(context.targets))
    hint = did_you_mean(name, known) or f"known here: {', '.join(known)}"
    context.log.at(block.place(key, item), f"the target {name!r} is not defined", hint)


def declared(
    sections: dict[str, Section], clusters: Iterable[str], context: Context
) -> list[TargetSpec]:
    """The targets that the file declares; the kind may be left out where the name says it."""
    kinds = dict.fromkeys(clusters, "oscar") | {LAMBDA: "lambda", BATCH: "batch", "local": "local"}
    specs = []
    for name, section in sections.items():
        kind = section.get("kind") or kinds.get(name)
        if kind is None and "kind" not in section.nodes:
            section.missing("kind", context.log)
        settings = dict(section.get("settings") or {})
        if "endpoint" in section:
            settings.setdefault("endpoint", section.get("endpoint"))
        spec = section.build(
            name=name, kind=kind or "local", implied=False, settings=settings, place=section.place()
        )
        specs.append(spec)
    return specs


def implied(clusters: Iterable[str], region: str, batch_region: str) -> list[TargetSpec]:
    """The targets that every file has without declaring them."""
    return [
        *(TargetSpec(name, "oscar") for name in clusters),
        TargetSpec(LAMBDA, "lambda", region=region or DEFAULT_REGION),
        TargetSpec(BATCH, "batch", region=batch_region or region or DEFAULT_REGION),
    ]


def dump_placement(service: Service, reveal: bool) -> Any:
    """The plain `placement` block, None when there is nothing to say."""
    return PLACEMENT.dump(service.placement, reveal) or None
