"""Services that would start themselves, at once or by way of others."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator

from bridge.errors import Problem
from bridge.fdl.model import Document, Place
from bridge.pipeline.model import Edge

_NOWHERE = Place(1, 1, "")


def cycle_problems(document: Document, edges: tuple[Edge, ...]) -> list[Problem]:
    """One problem for each output that feeds its own service, and for each cycle.

    Cycles that share a service with a reported one show up once that is mended.
    """
    selves = [edge for edge in edges if edge.writer == edge.reader]
    others = [edge for edge in edges if edge.writer != edge.reader]
    names = [service.name for service in document.services]
    cycles = [[edge] for edge in selves] + list(_cycles(names, others))
    return [_problem(document, cycle) for cycle in cycles]


def _problem(document: Document, cycle: list[Edge]) -> Problem:
    closing = cycle[-1]
    place = closing.output.place or document.service(closing.writer).place or _NOWHERE
    may = "" if all(edge.certainty == "certain" for edge in cycle) else "may "
    way = " → ".join(f"{edge.writer} → {edge.output.path}" for edge in cycle)
    what = f"the services {may}start each other without end"
    if len(cycle) == 1:
        what = f"the service {may or 'would '}start itself without end"
    return Problem(
        document.file,
        place.line,
        place.column,
        place.path,
        f"{what}: {way} → {cycle[0].writer}",
        f"write outside {closing.input.path!r}, or filter by suffix so that it takes no such file",
    )


def _cycles(names: Iterable[str], edges: list[Edge]) -> Iterator[list[Edge]]:
    """Shortest cycles that share no service, in the order of the names."""
    ways: dict[str, dict[str, Edge]] = defaultdict(dict)
    for edge in edges:
        ways[edge.writer].setdefault(edge.reader, edge)
    left = _on_the_way(set(names), ways)
    for name in names:
        cycle = _shortest(name, ways, left) if name in left else []
        if cycle:
            yield cycle
            left = _on_the_way(left - {edge.writer for edge in cycle}, ways)


def _on_the_way(left: set[str], ways: dict[str, dict[str, Edge]]) -> set[str]:
    """Without the services that nothing comes from, again and again: empty when no cycle is."""
    into: dict[str, list[str]] = defaultdict(list)
    out: dict[str, int] = {}
    for name in left:
        readers = [reader for reader in ways[name] if reader in left]
        out[name] = len(readers)
        for reader in readers:
            into[reader].append(name)
    ends = [name for name, count in out.items() if count == 0]
    for end in ends:
        for writer in into[end]:
            out[writer] -= 1
            if out[writer] == 0:
                ends.append(writer)
    return left.difference(ends)


def _shortest(start: str, ways: dict[str, dict[str, Edge]], left: set[str]) -> list[Edge]:
    """The shortest way from a service back to itself; empty when there is none."""
    came: dict[str, Edge] = {}
    queue = deque([start])
    while queue:
        name = queue.popleft()
        for reader, edge in ways[name].items():
            if reader in left and reader not in came:
                came[reader] = edge
                queue.append(reader)
        if start in came:
            return _trace(start, came)
    return []


def _trace(start: str, came: dict[str, Edge]) -> list[Edge]:
    way = [came[start]]
    while way[-1].writer != start:
        way.append(came[way[-1].writer])
    return way[::-1]
