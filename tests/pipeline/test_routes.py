"""Which services an object starts, and the notifications for it."""

from __future__ import annotations

import pytest

from bridge.events import decode, minio_record
from bridge.fdl.model import Document, StoragePath
from bridge.pipeline import NotificationRule, Routes, routes
from tests.pipeline.documents import document, path, service


def sample() -> Routes:
    return routes(
        document(
            service("jpgs", path("b/in", suffix=[".jpg", ".jpeg"])),
            service("all", "b/in"),
            service("raw", path("b/in", prefix=["raw-"], suffix=[".jpg"])),
            service("whole", ["c", "c/sub"]),
            service("aws", "s3.mine:b/in"),
        )
    )


@pytest.mark.parametrize(
    ("key", "started"),
    [
        ("in/a.jpg", ("jpgs", "all")),
        ("in/a.txt", ("all",)),
        ("in/raw-1.jpg", ("jpgs", "all", "raw")),
        ("in/deep/raw-1.jpg", ("jpgs", "all")),
        ("in/deep/a b ñ.jpeg", ("jpgs", "all")),
        ("in/.jpg", ("jpgs", "all")),
        ("in//x", ("all",)),
        ("input/a.jpg", ()),
        ("in", ()),
        ("in/", ()),
        ("in/deep/", ()),
        ("/in/a.jpg", ()),
        ("", ()),
    ],
)
def test_match(key: str, started: tuple[str, ...]) -> None:
    assert sample().match("minio.default", "b", key) == started
    assert sample().match("minio", "b", key) == started


def test_the_bucket_and_the_storage_count() -> None:
    assert sample().match("minio.default", "c", "in/a.jpg") == ("whole",)
    assert sample().match("minio.default", "c", "sub/a.jpg") == ("whole",)
    assert sample().match("minio.other", "b", "in/a.jpg") == ()
    assert sample().match("s3.default", "b", "in/a.jpg") == ("aws",)
    for unknown in ("", "nfs.x", "local"):
        assert sample().match(unknown, "b", "in/a.jpg") == ()
    assert sample().match("minio.default", "d", "in/a.jpg") == ()


def test_our_own_files_and_those_of_the_job_itself_start_nothing() -> None:
    assert sample().match("minio", "c", ".oscar-bridge/events/x") == ()
    assert sample().match("minio", "c", "x/.oscar-bridge/y") == ("whole",)
    assert sample().match("minio", "b", "in/a.txt", writer="all") == ()
    assert sample().match("minio", "b", "in/a.jpg", writer="all") == ("jpgs",)


def test_a_decoded_event_finds_its_service() -> None:
    (event,) = decode(minio_record("b", "in/a+b ñ.txt"))
    assert sample().match(event.provider, event.bucket, event.key) == ("all",)


def test_one_endpoint_under_two_names_is_matched_under_both() -> None:
    endpoint = {"endpoint": "http://m:9000"}
    given = document(
        service("a", "minio.one:b/in"),
        providers={"minio.one": endpoint, "minio.two": endpoint},
    )
    for provider in ("minio.one", "minio.two"):
        assert routes(given).match(provider, "b", "in/x") == ("a",)


def rules(*inputs: StoragePath | str) -> list[tuple[str, str, tuple[str, ...]]]:
    given = document(*(service(f"s{n}", taken) for n, taken in enumerate(inputs)))
    (found,) = routes(given).inputs().values()
    return [(rule.prefix, rule.suffix, rule.services) for rule in found]


def test_rules_of_inputs_apart() -> None:
    assert rules("b/y", path("b/x", suffix=[".png", ".jpg"])) == [
        ("x/", ".jpg", ("s1",)),
        ("x/", ".png", ("s1",)),
        ("y/", "", ("s0",)),
    ]
    assert rules(path("b/x", prefix=["p", "q"])) == [("x/p", "", ("s0",)), ("x/q", "", ("s0",))]


def test_equal_rules_are_one() -> None:
    assert rules("b/x", "b/x", "minio.default:b/x") == [("x/", "", ("s0", "s1", "s2"))]


def test_overlapping_rules_become_the_wider_one() -> None:
    assert rules("b/x/deep", "b/x") == [("x/", "", ("s0", "s1"))]
    assert rules("b/x", "b") == [("", "", ("s0", "s1"))]
    assert rules(path("b/x", suffix=[".jpg"]), "b/x/deep") == [("x/", "", ("s0", "s1"))]
    assert rules(path("b/x", suffix=[".tar.gz"]), path("b/x", suffix=[".gz"])) == [
        ("x/", ".gz", ("s0", "s1"))
    ]


def test_nested_prefixes_with_other_suffixes_stay_apart() -> None:
    assert rules(path("b/x", suffix=[".jpg"]), path("b/x/deep", suffix=[".png"])) == [
        ("x/", ".jpg", ("s0",)),
        ("x/deep/", ".png", ("s1",)),
    ]


def test_a_merge_that_comes_to_overlap_a_third_takes_it_in() -> None:
    found = rules(
        path("b/x", suffix=[".a.c"]), path("b/x/y", suffix=[".b.c"]), path("b/x/y/z", suffix=[".c"])
    )
    assert found == [("x/", ".c", ("s0", "s1", "s2"))]


def test_rules_are_listed_by_provider_and_bucket() -> None:
    found = sample().inputs()
    assert list(found) == [("minio.default", "b"), ("minio.default", "c"), ("s3.mine", "b")]
    assert found["s3.mine", "b"] == (NotificationRule("s3.mine", "b", "in/", "", ("aws",)),)


def test_a_thousand_services_in_one_bucket() -> None:
    many: Document = document(*(service(f"s{n}", f"b/{n}/in") for n in range(1000)))
    found = routes(many)
    assert found.match("minio", "b", "77/in/x") == ("s77",)
    (listed,) = found.inputs().values()
    assert len(listed) == 1000
