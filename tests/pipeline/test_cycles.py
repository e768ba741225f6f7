"""What starts itself is refused, with the way it takes."""

from __future__ import annotations

import pytest

from bridge.errors import FdlError, Problem
from bridge.fdl.model import StoragePath
from bridge.pipeline import build
from tests.pipeline.documents import document, path, service


def problems(*services: object, **more: object) -> tuple[Problem, ...]:
    with pytest.raises(FdlError) as caught:
        build(document(*services, **more))  # type: ignore[arg-type]
    return caught.value.problems


def test_an_output_that_feeds_its_own_input() -> None:
    (problem,) = problems(service("a", ["b/other", "b/in"], ["b/out", "b/in/x"]))
    assert (problem.file, problem.line, problem.column) == ("pipeline.yaml", 14, 9)
    assert problem.path == "functions.bridge[0].output[1]"
    assert "would start itself" in problem.message
    assert problem.message.endswith("a → b/in/x → a")
    assert "'b/in'" in problem.hint


def test_a_cycle_of_several_services() -> None:
    (problem,) = problems(
        service("before", "b/in", "b/x"),
        service("a", "b/x", "b/y"),
        service("c", "b/y", "b/z"),
        service("d", "b/z", "b/x/deep"),
        service("after", "b/y", "b/end"),
    )
    assert problem.message.endswith("a → b/y → c → b/z → d → b/x/deep → a")
    assert problem.path == "functions.bridge[3].output[0]" and problem.line == 42


def test_every_separate_cycle_is_reported_with_the_self_triggers() -> None:
    found = problems(
        service("a", "b/1", "b/2"),
        service("c", "b/2", "b/1"),
        service("d", "c/1", "c/2"),
        service("e", "c/2", "c/1"),
        service("f", "d/1", ["d/1", "d/1/x"]),
    )
    assert [p.message.rpartition(": ")[2] for p in found] == [
        "a → b/2 → c → b/1 → a",
        "d → c/2 → e → c/1 → d",
        "f → d/1 → f",
        "f → d/1/x → f",
    ]


@pytest.mark.parametrize(
    ("taken", "output"),
    [
        (path("b/in"), path("b/out")),
        (path("b/in"), path("b/input")),
        (path("b/in", suffix=[".jpg"]), path("b/in", suffix=[".png"])),
        (path("b/in", prefix=["raw-"]), path("b/in", prefix=["done-"])),
        (path("b/in"), path("b", prefix=["out/"])),
        (path("b", suffix=[".jpg"]), path("b/out", suffix=[".txt"])),
        (path("minio:b/in"), path("s3:b/in")),
    ],
)
def test_what_folders_or_filters_keep_apart_is_fine(
    taken: StoragePath, output: StoragePath
) -> None:
    assert build(document(service("a", taken, output))).edges == ()


@pytest.mark.parametrize(
    ("taken", "output"),
    [
        (path("b/in", suffix=[".jpg"]), path("b/in")),
        (path("b/in"), path("b")),
        (path("b/in", suffix=[".jpg"]), path("b", suffix=[".jpg"])),
    ],
)
def test_what_may_start_itself_is_refused_as_such(taken: StoragePath, output: StoragePath) -> None:
    (problem,) = problems(service("a", taken, output))
    assert "may start itself" in problem.message


def test_two_names_of_one_storage_close_a_cycle() -> None:
    same = {
        "minio.default": {"endpoint": "http://m:9000"},
        "minio.b": {"endpoint": "http://m:9000/"},
    }
    (problem,) = problems(service("a", "minio:b/in", "minio.b:b/in"), providers=same)
    assert problem.message.endswith("a → b/in → a")


def test_a_long_way_into_a_cycle_is_no_part_of_it() -> None:
    before = [service(f"s{n}", f"b/{n}", f"b/{n + 1}") for n in range(300)]
    (problem,) = problems(*before, service("x", "b/300", "b/end"), service("y", "b/end", "b/300"))
    assert problem.message.endswith("x → b/end → y → b/300 → x")
