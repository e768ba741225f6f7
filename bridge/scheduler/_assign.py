"""The best assignment of values to variables where some pairs of them cost something together.

Variables are eliminated one after the other, the one with the fewest neighbours first: dynamic
programming, which is exact, and cheap on chains, trees and all that is nearly one (R. Dechter,
"Bucket elimination", 1999). Where a table would grow beyond `_MOST` entries, a descent takes its
place: from each given start, one variable after the other takes its best value, again and again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Final

Loss = tuple[float, ...]
"""What is lost, by importance: the first number counts before the second."""

Assignment = Mapping[str, str]

_MOST: Final = 200_000
_SWEEPS: Final = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """`own` is what each value of each variable costs, in an order that breaks ties; `pairs` what
    the values of two variables cost together. All losses have the same length, and all pairs are
    there."""

    own: Mapping[str, Mapping[str, Loss]]
    pairs: Mapping[tuple[str, str], Mapping[tuple[str, str], Loss]]

    def loss(self, chosen: Assignment) -> Loss:
        """All that an assignment costs."""
        parts = [self.own[name][chosen[name]] for name in self.own]
        parts += [table[chosen[a], chosen[b]] for (a, b), table in self.pairs.items()]
        return _sum(parts)


@dataclass(frozen=True, slots=True)
class _Table:
    """A function of the values of some variables."""

    scope: tuple[str, ...]
    losses: Mapping[tuple[str, ...], Loss]


def best(
    problem: Problem, starts: Sequence[Assignment], most: int = _MOST
) -> tuple[dict[str, str], bool]:
    """An assignment with the least loss, and whether it surely is one. Deterministic.

    `starts` are complete assignments from which the descent begins; one at least.
    """
    found = _eliminated(problem, most)
    if found is not None:
        return found, True
    ends = [_descended(problem, dict(start)) for start in starts]
    return min(ends, key=problem.loss), False


def _eliminated(problem: Problem, most: int) -> dict[str, str] | None:
    """The exact answer; None where it would take too much."""
    tables = [_Table((name,), {(v,): loss for v, loss in own.items()})
              for name, own in problem.own.items()]  # fmt: skip
    tables += [_Table(scope, {(a, b): loss for (a, b), loss in losses.items()})
               for scope, losses in problem.pairs.items()]  # fmt: skip
    left = list(problem.own)
    ways: list[tuple[str, tuple[str, ...], dict[tuple[str, ...], str]]] = []
    while left:
        name = min(left, key=lambda one: len(_around(one, tables)))
        scope = _around(name, tables)
        if prod(len(problem.own[one]) for one in (*scope, name)) > most:
            return None
        mine = [table for table in tables if name in table.scope]
        table, way = _without(name, scope, mine, problem)
        tables = [one for one in tables if name not in one.scope] + [table]
        ways.append((name, scope, way))
        left.remove(name)
    chosen: dict[str, str] = {}
    for name, scope, way in reversed(ways):
        chosen[name] = way[tuple(chosen[one] for one in scope)]
    return {name: chosen[name] for name in problem.own}


def _around(name: str, tables: Iterable[_Table]) -> tuple[str, ...]:
    """The variables that stand in a table together with this one."""
    found = dict.fromkeys(one for table in tables if name in table.scope for one in table.scope)
    return tuple(one for one in found if one != name)


def _without(
    name: str, scope: tuple[str, ...], tables: Sequence[_Table], problem: Problem
) -> tuple[_Table, dict[tuple[str, ...], str]]:
    """The tables as one in which the variable has always its best value, and that value."""
    losses: dict[tuple[str, ...], Loss] = {}
    way: dict[tuple[str, ...], str] = {}
    for values in product(*(problem.own[one] for one in scope)):
        known = dict(zip(scope, values, strict=True))
        for value in problem.own[name]:
            known[name] = value
            loss = _sum([t.losses[tuple(known[one] for one in t.scope)] for t in tables])
            if values not in losses or loss < losses[values]:
                losses[values], way[values] = loss, value
    return _Table(scope, losses), way


def _descended(problem: Problem, chosen: dict[str, str]) -> dict[str, str]:
    """Give one variable after the other its best value, until none wants another."""
    around: dict[str, list[tuple[str, str]]] = {name: [] for name in problem.own}
    for ends in problem.pairs:
        for name in ends:
            around[name].append(ends)
    for _ in range(_SWEEPS):
        before = dict(chosen)
        for name, own in problem.own.items():
            losses = {value: _near(problem, around[name], {**chosen, name: value}, own[value])
                      for value in own}  # fmt: skip
            best_value = min(losses, key=losses.__getitem__)
            if losses[best_value] < losses[chosen[name]]:
                chosen[name] = best_value
        if chosen == before:
            break
    return chosen


def _near(
    problem: Problem, pairs: Iterable[tuple[str, str]], chosen: Assignment, own: Loss
) -> Loss:
    """What depends on one variable: its own loss, and that of the pairs it stands in."""
    return _sum([own, *(problem.pairs[a, b][chosen[a], chosen[b]] for a, b in pairs)])


def _sum(losses: Sequence[Loss]) -> Loss:
    return tuple(map(sum, zip(*losses, strict=True)))
