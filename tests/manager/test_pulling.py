"""Inputs on servers that send no events, WebDAV's and S3's: listed by a manager that runs here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bridge.secret import Secret
from bridge.storage.minio import MinioServer, ServerSettings
from tests.servers import DavServer, plain_s3, webdav_server
from tests.waiting import eventually

from .conftest import Live, echo, minio, serve

_COPY = '#!/bin/sh\ntr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/${INPUT_FILE_PATH##*/}"\n'


@pytest.fixture
def dav(tmp_path: Path) -> Iterator[DavServer]:
    (tmp_path / "dav").mkdir()
    with webdav_server(tmp_path / "dav") as running:
        yield running


def shouting(dav: DavServer, name: str, taken: str, given: str) -> dict[str, Any]:
    return echo(
        name=name,
        script=_COPY,
        input=[{"storage_provider": "webdav.lab", "path": taken}],
        output=[{"storage_provider": "webdav.lab", "path": given}],
        storage_providers={"webdav": {"lab": dav.settings | dav.secrets}},
    )


def done(live: Live, name: str, count: int) -> list[str]:
    """The keys of a service's jobs, when so many are over."""
    jobs = live.manager.parts.jobs
    assert eventually(lambda: len(jobs.jobs(service=name)) >= count and jobs.quiet())
    return [job.event.key for job in jobs.jobs(service=name)]


def test_files_start_jobs_and_outputs_start_others(dav: DavServer, tmp_path: Path) -> None:
    (dav.root / "data" / "in").mkdir(parents=True)
    with ExitStack() as stack:
        live = serve(tmp_path, stack, pull=0.1)
        for one in (
            shouting(dav, "first", "data/in", "data/between"),
            shouting(dav, "second", "data/between", "data/out"),
            # The same input: each of the two takes it once.
            shouting(dav, "other", "data/in", "data/else"),
        ):
            assert live.ask("POST", "/system/services", one).status == 201
        (dav.root / "data" / "in" / "a b.txt").write_text("words")

        assert done(live, "second", 1) == ["between/a b.txt"]
        assert (dav.root / "data" / "out" / "a b.txt").read_text() == "WORDS"
        assert done(live, "other", 1) == ["in/a b.txt"]

        dav.stop()
        (dav.root / "data" / "in" / "away.txt").write_text("while it was away")
        dav.start()
        assert sorted(done(live, "other", 2)) == ["in/a b.txt", "in/away.txt"]
    with ExitStack() as stack:
        (dav.root / "data" / "in" / "later.txt").write_text("while we were away")
        live = serve(tmp_path, stack, pull=0.1)
        assert sorted(done(live, "second", 3))[0] == "between/a b.txt"
        (dav.root / "data" / "in" / "last.txt").write_text("to see that all was looked at")
        expected = ["in/a b.txt", "in/away.txt", "in/last.txt", "in/later.txt"]
        assert sorted(done(live, "first", 4)) == expected
        assert sorted(done(live, "other", 4)) == expected, "nothing twice"


def test_an_object_store_that_sends_no_events_is_listed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "s3").mkdir()
    with plain_s3(tmp_path / "s3") as server, ExitStack() as stack:
        keys = Secret(server.access_key), Secret(server.secret_key)
        store = MinioServer(ServerSettings(server.endpoint, *keys, webhook="INGEST"))
        live = serve(tmp_path, stack, pull=0.1, buckets=store)
        assert live.ask("GET", "/ready").text == "Ok"
        for name, taken, given in (("first", "in", "mid"), ("second", "mid", "out")):
            place = {"input": minio(f"silent/{taken}"), "output": minio(f"silent/{given}")}
            body = echo(name=name, script=_COPY, **place)
            assert live.ask("POST", "/system/services", body).status == 201
        told = [one.message for one in caplog.records if "found by listing" in one.message]
        assert len(told) == 1 and "'silent'" in told[0]
        assert live.ask("GET", "/ready").text == (
            "Ok; 1 buckets are listed, as no events of them come"
        )
        (tmp_path / "a.txt").write_text("words")
        store.upload("silent", "in/a.txt", tmp_path / "a.txt")
        assert done(live, "second", 1) == ["mid/a.txt"]
        store.download("silent", "out/a.txt", tmp_path / "got")
        assert (tmp_path / "got").read_text() == "WORDS"
        # It is asked again, and what was listed is not taken twice.
        live.manager.inputs.ask_again(live.manager._routes.inputs())
        assert live.manager.inputs.silent == {"silent"}
        assert (done(live, "first", 1), live.manager.reconcile()) == (["in/a.txt"], ())
