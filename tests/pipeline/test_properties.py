"""What holds for any graph and any key."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import FdlError
from bridge.fdl.model import Service, StoragePath
from bridge.pipeline import as_json, build, dot, mermaid, routes
from tests.pipeline.documents import document, path, service

Arrow = tuple[int, int]


@st.composite
def acyclic(draw: st.DrawFn) -> tuple[list[Service], list[Arrow]]:
    """Services whose outputs go to inputs of later ones, and who writes to whom."""
    size = draw(st.integers(2, 9))
    pairs = list(combinations(range(size), 2))
    arrows = sorted(draw(st.sets(st.sampled_from(pairs))))
    return _services(size, arrows), arrows


def _services(size: int, arrows: list[Arrow]) -> list[Service]:
    return [
        service(
            f"s{n}",
            [f"b/{a}-{z}" for a, z in arrows if z == n] or [f"in/{n}"],
            [f"b/{a}-{z}" for a, z in arrows if a == n],
        )
        for n in range(size)
    ]


@given(acyclic(), st.randoms())
def test_acyclic_documents_are_accepted_in_topological_order(
    graph: tuple[list[Service], list[Arrow]], random: object
) -> None:
    services, arrows = graph
    random.shuffle(services)  # type: ignore[attr-defined]
    pipeline = build(document(*services))
    assert {(e.writer, e.reader) for e in pipeline.edges} == {(f"s{a}", f"s{z}") for a, z in arrows}
    order = {stage.name: n for n, stage in enumerate(pipeline.stages)}
    level = {stage.name: stage.level for stage in pipeline.stages}
    before: dict[str, list[str]] = {name: [] for name in level}
    for edge in pipeline.edges:
        assert order[edge.writer] < order[edge.reader]
        before[edge.reader].append(edge.writer)
    for name, writers in before.items():
        assert level[name] == max((level[writer] + 1 for writer in writers), default=0)
    again = build(document(*services))
    assert (mermaid(pipeline), dot(pipeline)) == (mermaid(again), dot(again))
    assert as_json(pipeline) == as_json(again)


@given(acyclic(), st.data())
def test_a_way_back_is_always_refused_with_a_real_cycle(
    graph: tuple[list[Service], list[Arrow]], data: st.DataObject
) -> None:
    services, arrows = graph
    if not arrows:
        return
    last, first = data.draw(st.sampled_from([(z, a) for a, z in arrows]))
    all_arrows = {*arrows, (last, first)}
    with pytest.raises(FdlError) as caught:
        build(document(*_services(len(services), sorted(all_arrows))))
    for problem in caught.value.problems:
        way = problem.message.rpartition(": ")[2].split(" → ")
        assert way[0] == way[-1] and len(way) >= 5
        for writer, folder, reader in zip(way[0::2], way[1::2], way[2::2], strict=False):
            arrow = (int(writer[1:]), int(reader[1:]))
            assert arrow in all_arrows and folder == f"b/{arrow[0]}-{arrow[1]}"


FOLDERS = st.lists(st.sampled_from(["in", "x", "in2"]), max_size=2).map(
    lambda p: "/".join(["b", *p])
)
PREFIXES = st.lists(st.sampled_from(["", "a", "ab", "x/", "in/a"]), max_size=2)
SUFFIXES = st.lists(st.sampled_from(["", ".gz", ".tar.gz", "z", ".png"]), max_size=2)
PATHS = st.builds(path, FOLDERS, PREFIXES, SUFFIXES)
NAMES = st.lists(
    st.sampled_from(["a", "ab", "x", "in", "in2", "/", ".gz", ".tar", ".png", "z"]), min_size=1
).map("".join)


def accepts(output: StoragePath, name: str) -> bool:
    starts = not output.prefix or name.startswith(output.prefix)
    return starts and (not output.suffix or name.endswith(output.suffix))


@given(PATHS, PATHS, NAMES)
def test_edges_say_what_routes_do(output: StoragePath, taken: StoragePath, name: str) -> None:
    given_document = document(service("w", (), output), service("r", taken))
    edges = build(given_document).edges
    key = output.key_for(name)
    started = bool(routes(given_document).match("minio", "b", key))
    if accepts(output, name) and not name.endswith("/"):
        if not edges:
            assert not started
        elif edges[0].certainty == "certain" and not name.startswith("/"):
            assert started


@given(st.lists(PATHS, min_size=1, max_size=8), NAMES)
def test_rules_let_everything_through_and_never_overlap(
    inputs: list[StoragePath], key: str
) -> None:
    found = routes(document(*(service(f"s{n}", taken) for n, taken in enumerate(inputs))))
    (rules,) = found.inputs().values()
    for one, two in combinations(rules, 2):
        starts = one.prefix.startswith(two.prefix) or two.prefix.startswith(one.prefix)
        ends = one.suffix.endswith(two.suffix) or two.suffix.endswith(one.suffix)
        assert not (starts and ends)
    sent = [r for r in rules if key.startswith(r.prefix) and key.endswith(r.suffix)]
    assert len(sent) <= 1
    started = found.match("minio.default", "b", key)
    assert set(started) <= {name for rule in sent for name in rule.services}
    for n, taken in enumerate(inputs):
        folder = f"{taken.folder}/" if taken.folder else ""
        inside = key.startswith(folder) and not key.endswith("/")
        assert (f"s{n}" in started) == (inside and accepts(taken, key.removeprefix(folder)))
