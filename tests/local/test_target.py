"""Jobs on this machine through warm supervisors: real store, real processes, real scripts."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from bridge.errors import NotFoundError, TargetUnavailable, UnsafePathError
from bridge.events import Event, EventKind, job_id
from bridge.fdl.model import ProviderRef, Resources, Service, StoragePath, TargetSpec
from bridge.local import target as local_target
from bridge.local.executors import ProcessExecutor, _proc
from bridge.local.objectstore import ObjectStore
from bridge.local.target import LocalTarget
from bridge.secret import Secret
from bridge.targets.protocol import Job, JobState, JobUpdate
from bridge.targets.render import ProviderAccess

from .conftest import eventually

MINIO = ProviderRef("minio")
SESSION = f"test-target-{os.getpid()}"
SHOUT = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'
HANG = "sleep 600 & echo $!; setsid sleep 601 & echo $!; wait\n"


class Place:
    """A target with its store, and what tests do with them."""

    def __init__(self, target: LocalTarget, store: ObjectStore, folder: Path) -> None:
        self.target = target
        self.store = store
        self.folder = folder
        self.seen: dict[str, JobUpdate] = {}

    def run(self, job: Job) -> JobUpdate:
        self.target.submit(job)
        return self.end(job)

    def end(self, job: Job) -> JobUpdate:
        return self.until(job, lambda state: state.final)

    def until(self, job: Job, wanted: Callable[[JobState], bool]) -> JobUpdate:
        def there() -> bool:
            for update in self.target.poll():
                self.seen[update.job] = update
            return job.id in self.seen and wanted(self.seen[job.id].state)

        eventually(there, known=lambda: (self.seen.get(job.id), list(self.target.logs(job.id))))
        return self.seen[job.id]

    def job(self, key: str, content: bytes = b"hello", *, service: str = "shout") -> Job:
        source = self.folder / "input"
        source.write_bytes(content)
        self.store.upload("data", key, source)
        event = Event(EventKind.MINIO, "minio.default", "data", key, len(content))
        return Job(job_id(service, event), service, event)

    def read(self, key: str) -> bytes:
        target = self.folder / "output"
        self.store.download("data", key, target)
        return target.read_bytes()

    def begin(self, job: Job, pids: int = 0) -> list[int]:
        """Submit, and wait until it runs and its script has said so many process ids."""
        self.target.submit(job)
        self.until(job, lambda state: state is JobState.RUNNING)
        assert eventually(lambda: len(self.pids(job)) >= pids)
        return self.pids(job)

    def said(self, job: Job) -> list[str]:
        """What the script said; the supervisor says more."""
        return [line for line in self.target.logs(job.id) if not line.startswith("[")]

    def pids(self, job: Job) -> list[int]:
        return [int(line) for line in self.said(job) if line.isdigit()]


def running(pid: int) -> bool:
    process = _proc.table().get(pid)
    return process is not None and process.state not in "ZX"


def mine() -> set[int]:
    return {pid for pid in _proc.marked(f"{SESSION}.") if running(pid)}


def service(name: str = "shout", script: str | None = SHOUT) -> Service:
    return Service(
        name=name,
        origin="oscar",
        image="not-used",
        resources=Resources(Decimal(1), 128 * 1024**2),
        script_text=script,
        inputs=(StoragePath(MINIO, "data/in"),),
        outputs=(StoragePath(MINIO, "data/out"),),
    )


@pytest.fixture
def place(tmp_path: Path, store: ObjectStore) -> Iterator[Place]:
    store.ensure_bucket("data")
    executor = ProcessExecutor(SESSION, tmp_path / "tasks")
    target = LocalTarget(
        TargetSpec("here", "local"),
        executor,
        session=SESSION,
        folder=tmp_path / "target",
        access={MINIO: ProviderAccess(*store.provider())},
        slots=2,
    )
    target.deploy([service(), service("hang", HANG)])
    yield Place(target, store, tmp_path)
    target.close()
    executor.close()
    assert mine() == set()


@pytest.mark.parametrize("key", ["in/a.txt", "in/a file+ñ%20.txt", "in/deep/b"])
def test_a_job_from_object_to_object(place: Place, key: str) -> None:
    update = place.run(place.job(key, b"some text"))
    assert (update.state, update.exit_code, update.reason) == (JobState.SUCCEEDED, 0, "")
    name = key.rpartition("/")[2]
    assert place.read(f"out/{name}") == b"SOME TEXT"
    [output] = update.report["outputs"]
    assert (output["provider"], output["key"]) == ("minio.default", f"out/{name}")
    assert update.started is not None
    assert update.ended is not None
    assert update.started <= update.ended


def test_an_empty_object(place: Place) -> None:
    assert place.run(place.job("in/empty", b"")).state is JobState.SUCCEEDED
    assert place.read("out/empty") == b""


def test_twenty_jobs_through_two_warm_supervisors(place: Place) -> None:
    jobs = [place.job(f"in/{n}", f"text {n}".encode()) for n in range(20)]
    for job in jobs:
        place.target.submit(job)
    for job in jobs:
        assert place.end(job).state is JobState.SUCCEEDED
    assert {place.read(f"out/{n}").decode() for n in range(20)} == {f"TEXT {n}" for n in range(20)}
    assert len(mine()) == 2


def test_one_job_needs_one_supervisor(place: Place) -> None:
    assert mine() == set()
    place.run(place.job("in/a"))
    assert len(mine()) == 1


def test_the_same_job_is_run_once_and_a_new_attempt_again(place: Place) -> None:
    place.target.deploy([service("count", "echo ran\nexit 3\n")])
    job = place.job("in/a", service="count")
    handle = place.target.submit(job)
    assert place.target.submit(job) == handle
    assert place.end(job).exit_code == 3
    assert place.target.submit(job) == handle
    place.target.forget(job.id)
    again = replace(job, attempt=2)
    assert place.target.submit(again) != handle
    place.seen.clear()
    assert place.end(again).report["attempt"] == 2


def test_final_news_come_again_until_they_are_forgotten(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_target, "_KEPT", 1)
    woken = threading.Event()
    place.target.on_news(woken.set)
    job = place.job("in/a")
    final = place.run(job)
    assert woken.is_set()
    assert list(place.target.poll()) == [final]
    place.target.forget(job.id)
    assert list(place.target.poll()) == []
    # Nothing grows without end: the log of the one before the last goes.
    assert place.target.has_log(job.id)
    later = place.job("in/b")
    place.run(later)
    place.target.forget(later.id)
    assert place.target.has_log(later.id)
    assert not place.target.has_log(job.id)
    assert not Path(final.log).parent.exists()


def test_a_failing_script_is_the_jobs_own_failure(place: Place) -> None:
    place.target.deploy([service("fail", "echo so long\necho bad >&2\nexit 7\n")])
    job = place.job("in/a", service="fail")
    update = place.run(job)
    assert (update.state, update.exit_code, update.temporary) == (JobState.FAILED, 7, False)
    assert {"so long", "bad"} <= set(place.target.logs(job.id))


def test_an_input_that_is_not_there(place: Place) -> None:
    event = Event(EventKind.MINIO, "minio.default", "data", "in/absent", 1)
    update = place.run(Job(job_id("shout", event), "shout", event))
    assert (update.state, update.exit_code) == (JobState.FAILED, 125)
    assert "in/absent" in update.reason


def test_a_timeout_kills_the_tree(place: Place) -> None:
    place.target.deploy([replace(service("slow", HANG), timeout=1.0)])
    job = place.job("in/a", service="slow")
    update = place.run(job)
    assert (update.state, update.exit_code, update.temporary) == (JobState.FAILED, 124, False)
    pids = place.pids(job)
    assert len(pids) == 2
    assert not any(running(pid) for pid in pids)


def test_cancel_kills_the_tree_and_the_place_goes_on(place: Place) -> None:
    job = place.job("in/a", service="hang")
    pids = place.begin(job, 2)
    place.target.cancel(job.id)
    assert not any(running(pid) for pid in pids)
    assert place.end(job).state is JobState.CANCELLED
    place.target.cancel(job.id)
    place.target.cancel("no-such-job")
    assert place.run(place.job("in/b")).state is JobState.SUCCEEDED


def test_a_waiting_job_is_cancelled_without_a_start(place: Place) -> None:
    busy = [place.job(f"in/{n}", service="hang") for n in range(2)]
    for job in busy:
        place.begin(job)
    waiting = place.job("in/c", service="hang")
    place.target.submit(waiting)
    place.target.cancel(waiting.id)
    update = place.end(waiting)
    assert (update.state, update.started) == (JobState.CANCELLED, None)
    assert all(place.seen[job.id].state is JobState.RUNNING for job in busy)


def test_what_waits_is_given_back_and_what_runs_is_not(place: Place) -> None:
    running = [place.job(f"in/{n}", service="hang") for n in range(2)]
    for job in running:
        place.begin(job)
    waiting = place.job("in/waits")
    place.target.submit(waiting)
    assert place.target.withdraw(waiting, "")
    assert place.target.withdraw(waiting, "")
    assert not place.target.withdraw(running[0], "")
    place.target.cancel(running[0].id)
    assert place.end(running[0]).state is JobState.CANCELLED
    # The slot that is free now has nothing of it to run; another attempt is another run.
    again = replace(waiting, attempt=2)
    assert place.run(again).handle == f"{again.id}#2"
    assert not place.target.withdraw(again, "")


def test_a_supervisor_that_dies_is_a_temporary_failure_and_is_replaced(place: Place) -> None:
    job = place.job("in/a", service="hang")
    pids = place.begin(job, 2)
    supervisor = int(place.seen[job.id].reason.removeprefix("process "))
    os.kill(supervisor, signal.SIGKILL)
    update = place.end(job)
    assert (update.state, update.temporary) == (JobState.FAILED, True)
    assert "ended with status -9" in update.reason
    assert not any(running(pid) for pid in pids)
    assert place.run(place.job("in/b")).state is JobState.SUCCEEDED


def test_close_leaves_nothing(place: Place) -> None:
    jobs = [place.job(f"in/{n}", service="hang") for n in range(3)]
    for job in jobs[:2]:
        place.begin(job, 2)
    place.target.submit(jobs[2])
    place.target.close()
    assert mine() == set()
    for job in jobs:
        update = place.end(job)
        assert (update.state, update.temporary) == (JobState.FAILED, True)
        assert "shut down" in update.reason
    with pytest.raises(TargetUnavailable):
        place.target.submit(place.job("in/z"))
    place.target.close()


def test_a_service_that_is_not_deployed(place: Place) -> None:
    job = place.job("in/a")
    place.target.remove(["shout", "no-such-service"])
    with pytest.raises(NotFoundError, match="shout is not deployed on here"):
        place.target.submit(job)


def test_a_new_script_is_used_after_deploy(place: Place) -> None:
    assert place.run(place.job("in/a")).state is JobState.SUCCEEDED
    place.target.deploy([service("shout", "exit 9\n")])
    assert place.run(place.job("in/b")).exit_code == 9


def test_variables_and_secrets_reach_the_script_and_ours_do_not(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-this-user")
    script = 'echo "$WIDTH $TOKEN ${AWS_SECRET_ACCESS_KEY-none} $JOB_UUID"\necho "$HOME"\n'
    place.target.deploy(
        [
            replace(
                service("env", script),
                variables={"WIDTH": "100 px"},
                secrets={"TOKEN": Secret("a-token")},
            )
        ]
    )
    job = place.job("in/a", service="env")
    place.run(job)
    said, home = place.said(job)
    assert said == f"100 px a-token none {job.id}"
    assert home.startswith(str(place.folder))


def test_credentials_are_files_of_their_owner_only(place: Place) -> None:
    place.target.deploy([replace(service("env"), secrets={"TOKEN": Secret("a-token")})])
    [token] = (place.folder / "target").rglob("environment/TOKEN")
    assert token.read_text() == "a-token"
    keys = list((place.folder / "target").rglob("minio.default/secret_key"))
    assert len(keys) == 3
    for path in (token, *keys):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((place.folder / "target").stat().st_mode) == 0o700
    key = place.store.credentials.secret_key.reveal()
    for document in (place.folder / "target").rglob("service.json"):
        assert key not in document.read_text()
        assert "a-token" not in document.read_text()


def test_names_that_lead_elsewhere_are_refused(place: Place) -> None:
    with pytest.raises(UnsafePathError):
        place.target.deploy([service("../elsewhere")])
    with pytest.raises(UnsafePathError):
        place.target.deploy([replace(service("env"), secrets={"../TOKEN": Secret("x")})])
    with pytest.raises(UnsafePathError):
        place.target.submit(replace(place.job("in/a"), id=".."))
    assert not list((place.folder / "target").rglob("TOKEN"))
