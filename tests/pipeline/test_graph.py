"""Stages, edges, crossings, ends and notes."""

from __future__ import annotations

import pytest

from bridge.fdl.model import Document, StoragePath
from bridge.pipeline import build
from tests.pipeline.documents import document, path, service


def links(given: Document) -> list[tuple[str, str, str]]:
    return [(e.writer, e.reader, e.certainty) for e in build(given).edges]


def link(output: StoragePath | str, taken: StoragePath | str) -> str | None:
    """The certainty of the edge between two paths of two services, None without one."""
    found = links(document(service("a", (), output), service("b", taken)))
    return found[0][2] if found else None


@pytest.mark.parametrize(
    ("output", "taken", "certainty"),
    [
        ("b/x", "b/x", "certain"),
        ("b/x/y", "b/x", "certain"),
        ("b", "b", "certain"),
        ("b/x", "b", "certain"),
        ("b/x", "b/x/y", "possible"),
        ("b", "b/x", "possible"),
        ("b/x", "b/xy", None),
        ("b/xy", "b/x", None),
        ("b/x", "c/x", None),
        ("b/x", "b/y", None),
        ("minio.default:b/x", "minio:b/x", "certain"),
        ("minio:b/x", "s3:b/x", None),
        ("minio.one:b/x", "minio.two:b/x", None),
        ("s3.mine:b/x", "s3.default:b/x", "certain"),
        (".oscar-bridge/x", ".oscar-bridge/x", "certain"),
        ("b/.oscar-bridge/x", "b", None),
    ],
)
def test_folders_decide(output: str, taken: str, certainty: str | None) -> None:
    assert link(output, taken) == certainty


@pytest.mark.parametrize(
    ("output", "taken", "certainty"),
    [
        (path("b/x", suffix=[".png"]), path("b/x", suffix=[".jpg"]), None),
        (path("b/x", suffix=[".png"]), path("b/x", suffix=[".jpg", ".png"]), "certain"),
        (path("b/x", suffix=[".png", ".txt"]), path("b/x", suffix=[".png"]), "possible"),
        (path("b/x", suffix=[".tar.gz"]), path("b/x", suffix=[".gz"]), "certain"),
        (path("b/x", suffix=[".gz"]), path("b/x", suffix=[".tar.gz"]), "possible"),
        (path("b/x"), path("b/x", suffix=[".png"]), "possible"),
        (path("b/x", suffix=[".png"]), path("b/x"), "certain"),
        (path("b/x", prefix=["mask"]), path("b/x", prefix=["mask-"]), "possible"),
        (path("b/x", prefix=["mask-"]), path("b/x", prefix=["mask"]), "certain"),
        (path("b/x", prefix=["a"]), path("b/x", prefix=["b"]), None),
        (path("b/x", prefix=["a"], suffix=[".p"]), path("b/x", prefix=["a"], suffix=[".q"]), None),
        (path("b/x/in"), path("b/x", prefix=["in"]), "certain"),
        (path("b/x/in"), path("b/x", prefix=["in/z"]), "possible"),
        (path("b/x/in"), path("b/x", prefix=["other"]), None),
        (path("b/x", prefix=["in/"]), path("b/x/in"), "certain"),
        (path("b/x", prefix=["out"]), path("b/x/in"), None),
        (path("b/x", suffix=[".png"]), path("b/x/in", suffix=[".jpg"]), None),
        (path("b", prefix=[".oscar-bridge/"]), path("b"), None),
    ],
)
def test_filters_decide(output: StoragePath, taken: StoragePath, certainty: str | None) -> None:
    assert link(output, taken) == certainty


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("https://minio.example.org", "https://MINIO.example.org:443/", True),
        ("http://minio:9000", "http://minio:9000/", True),
        ("http://minio:9000", "http://minio:9001", False),
        ("http://minio:9000", "", False),
    ],
)
def test_one_endpoint_is_one_storage(one: str, two: str, *, same: bool) -> None:
    given = document(
        service("a", (), "minio.near:b/x"),
        service("b", "s3.far:b/x"),
        providers={"minio.near": {"endpoint": one}, "s3.far": {"endpoint": two}},
    )
    assert bool(links(given)) is same


def test_onedata_spaces_on_one_host_are_two_storages() -> None:
    def linked(one: str, two: str) -> bool:
        host = {"oneprovider_host": "data.example.org"}
        spaces = {"onedata.a": host | {"space": one}, "onedata.b": host | {"space": two}}
        writer, reader = service("w", (), "onedata.a:b/x"), service("r", "onedata.b:b/x")
        return bool(links(document(writer, reader, providers=spaces)))

    assert linked("s", "s") and not linked("s", "t")


def chain() -> Document:
    return document(
        service("last", "minio:b/mid", "minio:b/out", pin="aws-batch"),
        service("first", "minio:b/in", ["minio:b/mid", "minio:b/side"], pin="cluster"),
        service("middle", "minio:b/side", path("minio:b/mid/x", suffix=[".png"]), pin="cluster"),
        service("sync"),
    )


def test_stages_are_in_running_order_at_their_longest_way() -> None:
    pipeline = build(chain())
    assert [(s.name, s.level) for s in pipeline.stages] == [
        ("first", 0),
        ("sync", 0),
        ("middle", 1),
        ("last", 2),
    ]
    assert pipeline.levels == (("first", "sync"), ("middle",), ("last",))
    assert pipeline.stage("last").target == "aws-batch"
    with pytest.raises(KeyError):
        pipeline.stage("none")


def test_ends_and_notes() -> None:
    pipeline = build(chain())
    assert [(e.service, e.path.path) for e in pipeline.sources] == [("first", "b/in")]
    assert [(e.service, e.path.path) for e in pipeline.results] == [("last", "b/out")]
    assert pipeline.sinks == ("last", "sync")
    assert [(n.service, n.message) for n in pipeline.notes] == [
        ("last", "no service reads minio.default:b/out: its files are results"),
        ("sync", "has no input: runs only when it is called"),
    ]


def test_a_possible_edge_is_noted() -> None:
    pipeline = build(document(service("a", (), "b/x"), service("c", path("b/x", suffix=[".png"]))))
    assert pipeline.notes[0].message.startswith("whether a file in minio.default:b/x starts c")


def test_crossings_follow_pins_and_placements() -> None:
    crossings = build(chain()).crossings
    assert [(c.edge.writer, c.origin, c.edge.reader, c.destination) for c in crossings] == [
        ("first", "cluster", "last", "aws-batch"),
        ("middle", "cluster", "last", "aws-batch"),
    ]
    assert build(chain(), {"last": "cluster"}).crossings == ()
    moved = build(chain(), {"middle": "aws-batch"}).crossings
    assert [(c.edge.writer, c.edge.reader) for c in moved] == [
        ("first", "last"),
        ("first", "middle"),
    ]


def test_a_service_without_a_known_target_crosses_nothing() -> None:
    given = document(service("a", (), "b/x", pin="cluster"), service("c", "b/x"))
    assert build(given).crossings == ()
    assert len(build(given, {"c": "aws-lambda"}).crossings) == 1


def test_two_outputs_into_two_inputs_are_each_an_edge() -> None:
    writer = service("a", (), ["b/x", "c/y"])
    assert links(document(writer, service("r", ["c/y", "b/x"]))) == [("a", "r", "certain")] * 2


def test_an_empty_document_is_an_empty_pipeline() -> None:
    pipeline = build(document())
    assert pipeline.stages == () and pipeline.levels == ()


def test_a_thousand_services_in_one_bucket() -> None:
    services = [service(f"s{n}", f"b/{n:04}", f"b/{n + 1:04}") for n in range(1000)]
    pipeline = build(document(*services))
    assert len(pipeline.edges) == 999 and len(pipeline.levels) == 1000
