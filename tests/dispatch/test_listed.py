"""Files that are found by listing, in real folders: each once, whole, however often one looks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.dispatch import ListedSource, SqliteStore
from bridge.errors import StorageUnavailable
from bridge.fdl.model import ProviderRef, Service, StoragePath
from bridge.storage import ObjectInfo, open_store

from .world import decide_for, dispatcher, service
from .world import open_store as open_jobs

FOLDER = "webdav.lab"


def taking(name: str, path: str) -> Service:
    made = service(name, "unused")
    return replace(made, inputs=(StoragePath(ProviderRef("webdav", "lab"), path),))


class World:
    """A folder of files, looked at by a source with a clock that stands still."""

    def __init__(self, folder: Path, *paths: str) -> None:
        self.folder = folder / "files"
        self.now = 1000.0
        self.refused: set[str] = set()
        self.since: dict[str, float] = {}
        self.services = [taking(f"s{n}", path) for n, path in enumerate(paths or ("b/in",))]
        self.jobs = folder
        (self.folder / "b" / "in").mkdir(parents=True)

    def write(self, name: str, text: str, path: str = "b/in") -> None:
        place = self.folder / path
        place.mkdir(parents=True, exist_ok=True)
        with (place / name).open("a") as file:
            file.write(text)

    def listing(self, provider: str, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        if bucket in self.refused:
            raise StorageUnavailable(f"cannot list {bucket}")
        store = open_store("folder.here", {"root": str(self.folder)}, {})
        return store.list(bucket, prefix)

    @contextmanager
    def source(self) -> Iterator[tuple[ListedSource, SqliteStore]]:
        """As a program has them that was just started."""
        with open_jobs(self.jobs) as store:
            made = dispatcher(store, {}, self.services, decide=decide_for("nowhere"))
            yield (
                ListedSource(
                    made,
                    self.listing,
                    made.inputs,
                    interval=10.0,
                    since=lambda: self.since,
                    clock=lambda: self.now,
                ),
                store,
            )
            made.close()


def keys(store: SqliteStore) -> list[str]:
    return [job.event.key for job in store.jobs()]


def test_a_file_is_taken_when_it_stays_the_same_and_never_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.source() as (source, store):
        world.write("slow", "half")
        world.write("whole", "all of it")
        assert source.look() == ()
        world.write("slow", " and the rest")
        assert len(source.look()) == 1 and keys(store) == ["in/whole"]
        assert len(source.look()) == 1 and keys(store) == ["in/whole", "in/slow"]
        assert [source.look() for _ in range(3)] == [(), (), ()]
        (job,) = [job for job in store.jobs() if job.event.key == "in/slow"]
        assert (job.event.bucket, job.event.provider, job.event.size) == ("b", FOLDER, 17)


def test_a_changed_file_is_another_event(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.source() as (source, store):
        world.write("a", "one")
        assert [len(source.look()) for _ in range(3)] == [0, 1, 0]
        os.utime(world.folder / "b" / "in" / "a", (1, 1))
        assert [len(source.look()) for _ in range(3)] == [0, 1, 0]
        assert keys(store) == ["in/a", "in/a"]


def test_a_restart_finds_what_came_meanwhile_and_nothing_twice(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write("before", "x")
    with world.source() as (source, _):
        assert [len(source.look()) for _ in range(2)] == [0, 1]
    world.write("meanwhile", "x")
    with world.source() as (source, store), world.source() as (other, _):
        assert [len(source.look()) for _ in range(2)] == [0, 1]
        assert [len(other.look()) for _ in range(3)] == [0, 0, 0], "another on the same store"
        assert keys(store) == ["in/before", "in/meanwhile"]


def test_a_place_that_fails_waits_longer_and_longer_and_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path, "a/in", "b/in", "absent/in")
    world.write("x", "x", "a/in")
    world.write("x", "x")
    world.refused = {"a"}
    with world.source() as (source, store):
        assert [len(source.look()) for _ in range(2)] == [0, 1]
        assert keys(store) == ["in/x"] and len(caplog.records) == 1, "it was asked once"
        world.now += 20.0
        source.look()
        assert "again in 40 s" in caplog.messages[-1]
        world.refused = set()
        world.now += 20.0
        assert [len(source.look()) for _ in range(2)] == [0, 0], "its time has not come"
        world.now += 20.0
        assert [len(source.look()) for _ in range(2)] == [0, 1]


def test_what_is_older_than_the_service_is_not_its_input(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write("old", "x")
    os.utime(world.folder / "b" / "in" / "old", (100, 100))
    world.write("new", "x")
    world.since = {"s0": 200.0}
    with world.source() as (source, store):
        assert [len(source.look()) for _ in range(2)] == [0, 1]
        assert keys(store) == ["in/new"]
