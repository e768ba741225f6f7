"""The pure parts of a session: which inputs go where, the document as it is here, results."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bridge.dispatch import JobRecord
from bridge.errors import UsageError
from bridge.events import Event, EventKind
from bridge.fdl import parse
from bridge.fdl.model import Document
from bridge.local._clusters import Clusters
from bridge.local._here import localised, snapshot, used_targets
from bridge.local._inputs import plan_handovers
from bridge.local._results import Results
from bridge.local._together import Together
from bridge.pipeline import routes
from bridge.scheduler import decide
from bridge.storage import open_store
from bridge.targets import JobState
from tests.command import document, service


def read(*services: str, providers: str = "") -> Document:
    """A document of services of one cluster, as it is on this machine."""
    return localised(parse(providers + document(*services), read_script=lambda _: "true\n"))


def planned(doc: Document, *inputs: Path) -> list[tuple[str, tuple[str, ...]]]:
    """(key or name, services) of what would be handed in."""
    return [(h.key, h.services) for h in plan_handovers(doc, routes(doc), inputs)]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("a.txt", "b.png", "sub/c.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return tmp_path


def test_folders_keep_their_inner_names_and_single_files_their_last(files: Path) -> None:
    doc = read(service("one", takes=["data/in"]))
    assert planned(doc, files) == [
        ("in/a.txt", ("one",)),
        ("in/b.png", ("one",)),
        ("in/sub/c.txt", ("one",)),
    ]
    assert planned(doc, files / "sub" / "c.txt", files / "a.txt", files / "a.txt") == [
        ("in/c.txt", ("one",)),
        ("in/a.txt", ("one",)),
    ]


def test_only_services_that_no_other_feeds_get_inputs(files: Path) -> None:
    doc = read(
        service("one", takes=["data/in"], gives=["data/mid"]), service("two", takes=["data/mid"])
    )
    assert {services for _, services in planned(doc, files)} == {("one",)}


def test_a_shared_input_path_gets_each_object_once(files: Path) -> None:
    doc = read(service("one", takes=["data/in"]), service("two", takes=["data/in"]))
    found = plan_handovers(doc, routes(doc), [files / "a.txt"])
    assert [(h.key, h.services) for h in found] == [("in/a.txt", ("one", "two"))]
    assert {awaited.service for awaited in found[0].awaited()} == {"one", "two"}


def test_the_first_path_that_takes_a_file_gets_it(files: Path) -> None:
    text = service("one", takes=["data/pictures", "data/texts"]).replace(
        "path: data/pictures", "path: data/pictures\n        suffix: ['.png']"
    )
    assert planned(read(text), files) == [
        ("texts/a.txt", ("one",)),
        ("pictures/b.png", ("one",)),
        ("texts/sub/c.txt", ("one",)),
    ]


def test_a_service_without_inputs_gets_requests(files: Path) -> None:
    (found,) = plan_handovers(read(service("ask")), routes(read(service("ask"))), [files / "a.txt"])
    assert (found.place, found.name, found.size, found.services) == (None, "a.txt", 5, ("ask",))
    assert list(found.awaited()) == []


def test_inputs_of_one_name_are_refused(files: Path) -> None:
    (files / "sub" / "a.txt").write_text("another")
    with pytest.raises(UsageError, match=r"both be called a\.txt"):
        planned(read(service("one", takes=["data/in"])), files / "a.txt", files / "sub" / "a.txt")


APART = "storage_providers:\n  minio:\n" + "".join(
    f"    {name}: {{endpoint: 'http://{host}', access_key: a, secret_key: b}}\n"
    for name, host in (("default", "one:9000"), ("twin", "one:9000/"), ("other", "two:9000"))
)


def test_storages_that_are_one_stay_one_and_the_others_apart() -> None:
    doc = read(
        service("one", takes=["data/in"], gives=["data/mid"]),
        service("two", takes=["data/mid"], provider="minio.twin"),
        service("three", takes=["data/in"], provider="minio.other"),
        providers=APART,
    )
    assert [str(s.inputs[0].provider) for s in doc.services] == [
        "minio.default",
        "minio.default",
        "minio.other",
    ]
    assert not doc.providers
    assert routes(doc).match("minio.default", "data", "in/x") == ("one",)


def test_every_s3_is_the_one_aws() -> None:
    text = service("one", takes=["data/in"], gives=["data/left", "data/right"])
    text = text.replace(
        "provider: minio.default\n        path: data/l",
        "provider: s3.default\n        path: data/l",
    ).replace(
        "provider: minio.default\n        path: data/r", "provider: s3.other\n        path: data/r"
    )
    doc = read(text, providers=APART.replace("minio", "s3"))
    assert [str(path.provider) for path in doc.services[0].outputs] == ["s3.default"] * 2


@pytest.mark.parametrize(("engine", "isolated"), [("process", False), ("container", True)])
def test_offers_are_those_of_this_machine(engine: str, isolated: bool) -> None:
    doc = read(service("one", takes=["data/in"]))
    here = snapshot(doc, engine, Clusters({}, "session"), {"here": (3, 4)})
    states = {state.spec.name: state for state in here.targets}
    assert states.keys() == {"here", "aws-lambda", "aws-batch"}
    assert (states["here"].running, states["here"].queued) == (3, 4)
    assert all(state.start is not None and state.start < 1 for state in here.targets)
    assert all(state.isolated is isolated for state in here.targets)
    decision = decide(doc.services[0], None, here)
    assert used_targets([decision]) == ["here"]


class Bench:
    """A folder as object store, and jobs that have written into it."""

    def __init__(self, folder: Path, doc: Document) -> None:
        self.root, self.output = folder / "root", folder / "output"
        (self.root / "data").mkdir(parents=True)
        self.moved: list[int] = []
        self.logs: dict[str, list[str]] = {}
        self.results = Results(
            {s.name: s for s in doc.services},
            routes(doc),
            open_store=lambda _: open_store("folder.x", {"root": str(self.root)}, {}),
            logs=lambda job: self.logs.get(job.id, []),
            names={"asked": "question"},
            fetched=self.moved.append,
            together=Together(),
        )

    def job(self, name: str, number: int, *keys: str) -> JobRecord:
        """A job that succeeded and says that it wrote the keys."""
        for key in keys:
            path = self.root / "data" / key
            if ".." not in key:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{number}")
        report: Mapping[str, Any] = {
            "outputs": [{"provider": "minio.default", "bucket": "data", "key": k} for k in keys]
        }
        event = Event(EventKind.MINIO, "minio.default", "data", "in/x")
        return JobRecord(f"job-{number}", name, event, JobState.SUCCEEDED, report=report)

    def files(self) -> dict[str, str]:
        found = [path for path in self.output.rglob("*") if path.is_file()]
        return {p.relative_to(self.output).as_posix(): p.read_text() for p in found}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    doc = read(
        service("one", takes=["data/in"], gives=["data/mid", "data/out", "data/out/deep"]),
        service("two", takes=["data/mid"]),
        service("ask"),
    )
    return Bench(tmp_path, doc)


def test_only_what_no_service_takes_is_fetched(bench: Bench) -> None:
    jobs = [bench.job("one", 1, "mid/a", "out/a", "out/b/c", "out/deep/d")]
    found = bench.results.fetch(jobs, bench.output)
    assert bench.files() == {"one/a": "1", "one/b/c": "1", "one/d": "1"}
    assert [result.path.name for result in found] == ["a", "d", "c"]
    assert bench.moved == [1, 1, 1]
    assert bench.results.problems == []


def test_jobs_that_wrote_one_file_make_one_result(bench: Bench) -> None:
    jobs = [bench.job("one", 1, "out/a"), bench.job("one", 2, "out/a")]
    (result,) = bench.results.fetch(jobs, bench.output)
    assert (result.job, bench.files()) == ("job-2", {"one/a": "2"})


def test_jobs_that_failed_leave_no_results(bench: Bench) -> None:
    job = replace(bench.job("one", 1, "out/a"), state=JobState.FAILED)
    assert bench.results.fetch([job], bench.output) == []


@pytest.mark.parametrize("key", ["out/../../../escaped", "out/..", "out/", "elsewhere/x"])
def test_no_key_leads_out_of_the_folder(bench: Bench, key: str) -> None:
    assert bench.results.fetch([bench.job("one", 1, key)], bench.output) == []
    assert len(bench.results.problems) == 1
    assert bench.files() == {}


def test_an_object_that_is_gone_is_a_problem_and_the_others_are_fetched(bench: Bench) -> None:
    job = bench.job("one", 1, "out/a", "out/b")
    (bench.root / "data" / "out" / "a").unlink()
    (result,) = bench.results.fetch([job], bench.output)
    assert result.path.name == "b"
    (problem,) = bench.results.problems
    assert "data/out/a cannot be fetched" in problem


def test_a_reply_is_what_the_script_said(bench: Bench) -> None:
    job = replace(bench.job("ask", 1), id="asked")
    bench.logs["asked"] = [
        "START RequestId: 7 Version: $LATEST",
        "[supervisor] running",
        "hello",
        "[not ours]",
        "END RequestId: 7",
        "REPORT RequestId: 7 Duration: 1 ms",
    ]
    bench.results.fetch([job], bench.output)
    assert bench.files() == {"ask/question.txt": "hello\n[not ours]\n"}


def test_work_that_is_done_together_keeps_its_order() -> None:
    assert Together().run([partial(int, str(n)) for n in range(20)], 3) == list(range(20))


def test_the_first_error_of_work_done_together_is_raised_when_all_has_ended() -> None:
    ended: list[str] = []

    def slow() -> None:
        time.sleep(0.2)
        ended.append("slow")

    with pytest.raises(ZeroDivisionError):
        Together().run([slow, lambda: 1 // 0], 2)  # type: ignore[list-item]
    assert ended == ["slow"]


def test_nothing_begins_after_close_and_close_waits() -> None:
    together, begun, ended = Together(), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        time.sleep(0.2)
        ended.set()

    waiting = threading.Thread(target=together.run, args=([slow, ended.clear], 1))
    waiting.start()
    assert begun.wait(60)
    together.close()
    assert ended.is_set()
    waiting.join()
    assert ended.is_set()
