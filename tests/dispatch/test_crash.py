"""What was acknowledged is never lost: kill -9 at random points, and a disk that is full."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.dispatch import Dispatcher, SqliteStore
from bridge.dispatch.testing import FakeTarget
from bridge.fdl.model import Placement
from bridge.scheduler import Estimate, Snapshot, TargetState, decide
from bridge.targets import JobState
from tests.dispatch.folder_target import FolderTarget
from tests.dispatch.world import (
    FAST,
    PATIENCE,
    PROVIDER,
    FolderRoutes,
    body,
    dispatcher,
    open_store,
    service,
    until,
)

EVENTS = 500
REPO = Path(__file__).parents[2]

# Accepts events from four threads while jobs run; tells each acknowledged job on standard output.
CHILD = f"""
import os, sys, threading
from pathlib import Path
from bridge.dispatch.testing import FakeTarget
from tests.dispatch.world import PROVIDER, body, dispatcher, open_store

store = open_store(Path(sys.argv[1]))
running = dispatcher(store, {{"fake": FakeTarget(seed=1, slots=8)}})
running.start()

def accept(first):
    for number in range(first, {EVENTS}, 4):
        for job in running.ingest(PROVIDER, body(f"in/{{number}}")).accepted:
            os.write(1, (job.job + "\\n").encode())

threads = [threading.Thread(target=accept, args=(n,)) for n in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
os.write(1, b"all\\n")
threading.Event().wait()
"""


def acknowledged_before_kill(folder: Path, after: int) -> set[str]:
    """Run the child, kill it when it has acknowledged `after` events; all that it acknowledged."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)],
        stdout=subprocess.PIPE,
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO)},
    )
    assert child.stdout is not None
    lines: list[bytes] = []
    try:
        for line in child.stdout:
            lines.append(line)
            if len(lines) == after or line == b"all\n":
                child.send_signal(signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    return {line.decode().strip() for line in lines if line.endswith(b"\n")} - {"all"}


@pytest.mark.parametrize("seed", range(3))
def test_every_acknowledged_event_has_one_final_job(tmp_path: Path, seed: int) -> None:
    acknowledged = acknowledged_before_kill(tmp_path, random.Random(seed).randint(20, EVENTS))
    assert acknowledged
    with open_store(tmp_path) as store, dispatcher(store, {"fake": FakeTarget()}) as running:
        # The dead child's lease has seconds to go, but its process is known to be gone.
        assert running.wait_quiet(PATIENCE)
        before = {record.id for record in store.jobs(limit=10 * EVENTS)}
        assert acknowledged <= before
        # The sender repeats what it has no answer for, here everything and five times.
        for number in range(5 * EVENTS):
            running.ingest(PROVIDER, body(f"in/{number % EVENTS}"))
        assert running.wait_quiet(PATIENCE)
        assert store.counts() == {("s", JobState.SUCCEEDED): EVENTS}


def test_a_restart_that_dies_too_loses_nothing(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    for after in (50, 200, 350):
        acknowledged |= acknowledged_before_kill(tmp_path, after)
    with open_store(tmp_path) as store, dispatcher(store, {"fake": FakeTarget()}) as running:
        assert running.wait_quiet(PATIENCE)
        finished = {r.id for r in store.jobs(states=[JobState.SUCCEEDED], limit=10 * EVENTS)}
    assert acknowledged <= finished


# Fills the disk (the process's own limit on file sizes), then makes room and tries again.
FULL = """
import resource, signal, sys
from pathlib import Path
from bridge.errors import TemporaryError
from tests.dispatch.world import new_job, open_store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = open_store(Path(sys.argv[1]))
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, most))
kept, refused = [], None
for number in range(5000):
    try:
        kept += [a.job for a in store.accept([new_job(f"in/{number}")], 0.0)]
    except TemporaryError as error:
        refused = number
        break
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
assert refused is not None, "the limit was never reached"
kept += [a.job for a in store.accept([new_job(f"in/{refused}")], 0.0) if a.new]
print("\\n".join(kept))
"""


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        check=False,
    )
    assert child.returncode == 0, child.stderr
    kept = child.stdout.split()
    with open_store(tmp_path) as store:
        assert [record.id for record in store.jobs(limit=5000)] == kept
    assert len(kept) > 10


def test_work_goes_on_when_the_database_is_free_again(tmp_path: Path) -> None:
    """While another program holds the file nothing is lost, not even news that are told once."""
    with SqliteStore(tmp_path / "jobs.db", busy_timeout=0.02) as store:
        with dispatcher(store, {"fake": FakeTarget(longest=20)}) as running:
            for number in range(50):
                running.ingest(PROVIDER, body(f"in/{number}"))
            holder = threading.Thread(target=_hold, args=(store.path, 5))
            holder.start()
            assert running.wait_quiet(PATIENCE)
            holder.join()
        assert store.counts() == {("s", JobState.SUCCEEDED): 50}


def _hold(path: Path, times: int) -> None:
    """Take the write lock several times for longer than the store waits for it."""
    other = sqlite3.connect(path, isolation_level=None, timeout=10)
    pause = threading.Event()
    for _ in range(times):
        other.execute("BEGIN IMMEDIATE")
        pause.wait(0.05)
        other.execute("ROLLBACK")
        pause.wait(0.01)
    other.close()


# --- jobs that are moved -------------------------------------------------------------------------

MOVED = 40


def moving(store: SqliteStore, folder: Path) -> tuple[Dispatcher, list[FolderTarget]]:
    """A dispatcher that places all on `stuck`, and is then for `quick`."""
    targets = [FolderTarget("stuck", folder, runs=False), FolderTarget("quick", folder, runs=True)]
    seconds = {"stuck": 1.0, "quick": 100.0}
    wanted = replace(service("s", "in"), placement=Placement(policy="fastest"))

    def snapshot() -> Snapshot:
        if (folder / "stuck" / "enough").exists():
            seconds.update(stuck=100.0, quick=1.0)
        return Snapshot(
            tuple(
                TargetState(t.spec, runs={"s": Estimate(seconds[t.spec.name], 1.0)})
                for t in targets
            )
        )

    made = Dispatcher(
        store,
        [wanted],
        FolderRoutes([wanted]),
        {target.spec.name: target for target in targets},
        decide=decide,
        snapshot=snapshot,
        settings=replace(FAST, patience=0.02, lease=2.0),
    )
    return made, targets


# Places jobs where they never run, then moves them; killed on the way.
MOVER = """
import sys, threading
from pathlib import Path
from tests.dispatch.test_crash import MOVED, moving
from tests.dispatch.world import PROVIDER, body, open_store

folder = Path(sys.argv[1])
store = open_store(folder)
running, _ = moving(store, folder)
for number in range(MOVED):
    running.ingest(PROVIDER, body(f"in/{number}"))
with running:
    print("begun", flush=True)
    threading.Event().wait()
"""


def count(folder: Path, pattern: str) -> int:
    return len(list(folder.glob(pattern)))


def test_a_job_that_is_moved_runs_once_whenever_we_are_killed(tmp_path: Path) -> None:
    stuck = tmp_path / "stuck"
    # Each life ends a few jobs further on: between asking, giving back and placing anew.
    for given_back in (0, 7, 25):
        child = subprocess.Popen(
            [sys.executable, "-c", MOVER, str(tmp_path)],
            cwd=REPO,
            env={**os.environ, "PYTHONPATH": str(REPO)},
            stdout=subprocess.DEVNULL,
        )
        try:
            until(lambda: count(stuck, "*.asked") >= MOVED)
            (stuck / "enough").touch()
            until(lambda least=given_back: count(stuck, "*.back") >= least)  # type: ignore[misc]
        finally:
            child.kill()
            child.wait()
    with open_store(tmp_path) as store:
        running, targets = moving(store, tmp_path)
        with running:
            assert running.wait_quiet(PATIENCE)
        assert store.counts() == {("s", JobState.SUCCEEDED): MOVED}
        assert targets[0].ran() == []
        assert sorted(targets[1].ran()) == sorted(record.id for record in store.jobs())
