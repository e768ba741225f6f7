"""`simulate`: what policies would do to a trace of invocations, in a world of targets."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bridge.cli.check import load_pipeline
from bridge.cli.output import console, print_json, seconds, table
from bridge.errors import MissingToolError, UsageError

if TYPE_CHECKING:
    from bridge.fdl.model import Document
    from bridge.simulate import Summary, Trace, World

__all__ = ["simulate"]

_SYNTHETIC: Final = "synthetic"
_COUNTS: Final = "invocations_per_function_md"
_DURATIONS: Final = "function_durations_percentiles"


def simulate(
    path: Path | None,
    *,
    trace: str,
    invocations: int | None,
    policies: Sequence[str],
    seed: int,
    as_json: bool,
) -> None:
    """Run the trace once for each policy, and print what came of it.

    Of a file, targets and services are taken; without one both are made up. MissingToolError when
    numpy is not installed, UsageError for a trace that is not there.
    """
    try:
        from bridge.simulate import Setting, policy_maker, standard_world, summary, world_of
        from bridge.simulate import simulate as run
    except ModuleNotFoundError as error:
        raise MissingToolError(
            f"simulations need {error.name}", hint='pip install "oscar-bridge[simulate]"'
        ) from error

    document = load_pipeline(path)[0] if path is not None else None
    happens = _trace(trace, document, invocations, seed)
    world = world_of(document.targets.values()) if document is not None else standard_world()
    found = []
    for policy in policies or (None,):
        with _no_garbage():
            result = run(world, happens, policy_maker(policy), Setting(seed))
            found.append(summary(result, happens, world))
    if as_json:
        print_json(_json(happens, world, found, seed))
    else:
        _print(happens, world, found)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Cycles are looked for at the end only: a run makes few, and millions of small things."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _trace(name: str, document: Document | None, invocations: int | None, seed: int) -> Trace:
    from bridge.simulate import azure_2019, load_trace, synthetic

    if name == _SYNTHETIC:
        services = document.services if document is not None else ()
        return synthetic(invocations or 10_000, seed=seed, given=services)
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"there is no trace {name}", hint=f"a CSV file, or {_SYNTHETIC}")
    with path.open(encoding="utf-8", newline="") as lines:
        if not path.name.startswith(_COUNTS):
            return load_trace(lines, most=invocations)
        other = path.with_name(path.name.replace(_COUNTS, _DURATIONS))
        if not other.is_file():
            raise UsageError(f"{path} needs the durations of the same day: there is no {other}")
        with other.open(encoding="utf-8", newline="") as durations:
            return azure_2019(lines, durations, seed=seed, most=invocations)


def _json(trace: Trace, world: World, found: Sequence[Summary], seed: int) -> dict[str, Any]:
    return {
        "trace": trace.source,
        "invocations": len(trace),
        "services": len(trace.workloads),
        "targets": [place.spec.name for place in world.places],
        "seed": seed,
        "policies": [asdict(each) for each in found],
    }


def _print(trace: Trace, world: World, found: Sequence[Summary]) -> None:
    title = (
        f"{len(trace):,} invocations of {len(trace.workloads):,} services on "
        f"{len(world.places)} targets ({trace.source})"
    )
    columns = (
        "policy",
        "done",
        "p50",
        "p95",
        "p99",
        "makespan",
        "USD",
        "late",
        "cold",
        "fairness",
    )
    rows = [
        (
            each.decider,
            f"{each.done:,}",
            seconds(each.p50),
            seconds(each.p95),
            seconds(each.p99),
            seconds(each.makespan),
            f"{each.cost:.2f}",
            f"{each.missed:.1%}",
            f"{each.cold:.1%}",
            f"{each.fairness:.2f}",
        )
        for each in found
    ]
    out = console()
    out.print(table(columns, rows, title=title))
    for each in found:
        used = {name: count for name, count in each.by_target.items() if count}
        busiest = sorted(used.items(), key=lambda item: (-item[1], item[0]))[:5]
        named = ", ".join(f"{name} {count / len(trace):.0%}" for name, count in busiest)
        out.print(f"{each.decider}: {len(used)} targets used; {named}", markup=False)
        for note in each.notes:
            out.print(f"note: {each.decider}: {note}", markup=False)
