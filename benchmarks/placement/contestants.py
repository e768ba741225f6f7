"""Who is compared: our policies, OSCAR's, SCAR's, Skedulix's rule, and places alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from benchmarks.placement.baselines import (
    LambdaBatch,
    Random,
    Skedulix,
    among,
    only,
    oscar,
    rule,
)
from benchmarks.placement.scenarios import FUNCTIONS, HOME, QUEUE
from bridge.simulate import (
    ClusterModel,
    Decider,
    Information,
    Maker,
    Place,
    Result,
    Setting,
    Trace,
    World,
    policy_maker,
    simulate,
)

Side = Literal["ours", "theirs"]


def oscar_sees(told: Information) -> Information:
    """OSCAR counts what is free every 15 seconds, and does not see what it has decided since."""
    return replace(told, every=max(told.every, 15.0), own=False)


@dataclass(frozen=True, slots=True)
class Contestant:
    """One row of the tables.

    `sees` makes of what a run lets everybody know what this one knows; `adapt` makes of its world
    the one that this one would have set up.
    """

    name: str
    side: Side
    maker: Maker
    about: str
    sees: Callable[[Information], Information] | None = None
    adapt: Callable[[World], World] | None = None

    def play(self, world: World, trace: Trace, setting: Setting) -> Result:
        """What becomes of the trace."""
        if self.sees is not None:
            setting = replace(setting, information=self.sees(setting.information))
        return simulate(self.adapt(world) if self.adapt else world, trace, self.maker, setting)


def _ours(policy: str, about: str) -> Contestant:
    return Contestant(policy, "ours", policy_maker(policy), about)


def _mended(policy: str) -> Contestant:
    def make(world: World, trace: Trace, seed: int) -> Decider:
        names = tuple(place.spec.name for place in world.places)  # the order of static
        return policy_maker(policy)(world, among(trace, names), seed)

    about = f"OSCAR's {policy}, mended: sees its own decisions, all targets, limits"
    return Contestant(f"oscar {policy}", "theirs", make, about)


def shortest_slack_first(world: World) -> World:
    """The same world, where the home cluster's line lets go first who has the least time left."""

    def ordered(place: Place) -> Place:
        if place.spec.name != HOME or not isinstance(place.model, ClusterModel):
            return place
        return replace(place, model=replace(place.model, order="deadline"))

    return replace(world, places=tuple(ordered(place) for place in world.places))


OURS: Final = (
    _ours("balanced", "the default"),
    _ours("cheapest", "the least cost"),
    _ours("fastest", "the shortest response"),
    _ours("deadline", "the cheapest that is in time"),
)
THEIRS: Final = (
    Contestant("cluster only", "theirs", only(HOME, "cluster only"), "all to the home cluster"),
    Contestant("lambda only", "theirs", only(FUNCTIONS, "lambda only"), "all to Lambda"),
    Contestant("batch only", "theirs", only(QUEUE, "batch only"), "all to Batch"),
    Contestant("random", "theirs", rule(Random, "random"), "any target that can"),
    _mended("static"),
    _mended("load-based"),
    _mended("topsis"),
    Contestant(
        "oscar as it is",
        "theirs",
        oscar("topsis", "oscar as it is"),
        "home first, then topsis among the clusters, on counts up to 15 s old",
        oscar_sees,
    ),
    Contestant(
        "scar lambda-batch",
        "theirs",
        rule(LambdaBatch, "scar lambda-batch"),
        "Lambda; what it kills, and charges for, goes to Batch",
    ),
    Contestant(
        "skedulix",
        "theirs",
        rule(Skedulix, "skedulix"),
        "home by shortest slack; who would be late goes to Lambda",
        adapt=shortest_slack_first,
    ),
)
EVERYBODY: Final = (*OURS, *THEIRS)


def picked(*names: str) -> list[Contestant]:
    """Some of the contestants, by name."""
    return [one for one in EVERYBODY if one.name in names]
