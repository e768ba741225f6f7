"""The same trace with something amiss: wrong estimates, old news, a dead target, sudden bursts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.placement.contestants import OURS, picked
from benchmarks.placement.scenarios import Scenario, bursting, hybrid
from benchmarks.placement.study import Row, row
from bridge.simulate import Information, Setting, World

PLAYERS: Final = (
    *OURS,
    *picked("cluster only", "oscar topsis", "oscar as it is", "scar lambda-batch", "skedulix"),
)


@dataclass(frozen=True, slots=True)
class Series:
    """One thing that goes wrong, by degrees: rows by contestant, one for each degree."""

    name: str
    about: str
    degrees: tuple[str, ...]
    rows: Mapping[str, Sequence[Row]]


def dead(world: World, target: str, begin: float, end: float) -> World:
    """The same world, where a target is down for a while."""
    return replace(
        world,
        places=tuple(
            replace(place, down=((begin, end),)) if place.spec.name == target else place
            for place in world.places
        ),
    )


def series(count: int, seed: int) -> list[Series]:
    """All of them, on the trace of bursts."""
    world, trace = hybrid(), bursting(count, seed)
    plain = Scenario("bursts", trace.source, world, trace)
    third = float(trace.arrival.max()) / 3

    def known(about: Mapping[str, Information]) -> dict[str, tuple[Scenario, Setting]]:
        return {name: (plain, Setting(information=told)) for name, told in about.items()}

    def down(target: str) -> tuple[Scenario, Setting]:
        there = dead(world, target, third, 2 * third) if target else world
        return replace(plain, world=there), Setting()

    def burst(factor: float) -> tuple[Scenario, Setting]:
        return replace(plain, trace=bursting(count, seed, factor)), Setting()

    biases, ages = (0.5, 0.71, 1.0, 1.41, 2.0), (0.0, 5.0, 15.0, 30.0, 60.0)
    places = ("", *(place.spec.name for place in world.places))
    return [
        _series(
            "wrong estimates",
            "estimated by true run time; each service and target up to x2 off on top",
            known({f"x{b:g}": Information(bias=b, spread=2.0) for b in biases}),
            seed,
        ),
        _series(
            "old news",
            "seconds between two measurements of the targets, known half as many seconds later",
            known({f"{a:g} s": Information(every=a, lag=a / 2 if a else 0.0) for a in ages}),
            seed,
        ),
        _series(
            "a dead target",
            "down for the middle third of the time",
            {name or "none": down(name) for name in places},
            seed,
        ),
        _series(
            "bursts",
            "rate in a burst by the rate between bursts",
            {f"x{factor:g}": burst(factor) for factor in (1.0, 10.0, 100.0)},
            seed,
        ),
    ]


def _series(
    name: str,
    about: str,
    degrees: Mapping[str, tuple[Scenario, Setting]],
    seed: int,
) -> Series:
    rows = {
        one.name: [row(one, [scenario], [seed], told) for scenario, told in degrees.values()]
        for one in PLAYERS
    }
    return Series(name, about, tuple(degrees), rows)
