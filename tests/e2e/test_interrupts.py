"""However a run is ended, nothing of it goes on and nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import service
from tests.runs import SHOUT, Workshop, end, until
from tests.waiting import eventually

HANG = 'echo $$ > "$MARK"\nsleep 600 &\nsetsid sleep 601 &\nsleep 602\n'
PHASES = ("placing", "starting", "deploying", "feeding", "fetching")


@pytest.fixture
def fdl(shop: Workshop) -> Path:
    item = service("work", takes=["data/in"], gives=["data/out"])
    return shop.fdl(item, work=f"MARK={shop.folder}/mark\n{HANG}")


@pytest.fixture
def quick(shop: Workshop) -> Path:
    return shop.fdl(service("work", takes=["data/in"], gives=["data/out"]), work=SHOUT)


def run_until_hanging(shop: Workshop, fdl: Path) -> subprocess.Popen[str]:
    child = shop.start(fdl, shop.inputs({"x.txt": b"x"}))
    until(child, "running")
    assert eventually((shop.folder / "mark").exists)
    assert len(shop.processes()) > 4  # the run, its guard, the store, a supervisor, the script …
    return child


# While it runs, the two others are tried below, with more that has to end.
ENDINGS = [(phase, signal.SIGINT) for phase in PHASES] + [
    ("starting", signal.SIGTERM),
    ("running", signal.SIGHUP),
]


@pytest.mark.parametrize(("phase", "number"), ENDINGS)
def test_a_signal_in_any_phase(shop: Workshop, quick: Path, phase: str, number: int) -> None:
    many = {f"{n}.txt": b"x" for n in range(60 if phase in ("feeding", "fetching") else 1)}
    child = shop.start(quick, shop.inputs(many))
    until(child, phase)
    status, said = end(child, number)
    assert "Traceback" not in said
    # On a busy machine all may have been fetched before the signal comes.
    assert status == 130 or (phase, status) == ("fetching", 0), said
    assert status == 0 or "interrupted; everything that was started is stopped" in said
    shop.check_left_nothing()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_scripts_too(shop: Workshop, fdl: Path, number: int) -> None:
    status, said = end(run_until_hanging(shop, fdl), number)
    assert status == 130, said
    shop.check_left_nothing()


def test_ctrl_c_in_a_terminal_reaches_the_whole_group(shop: Workshop, fdl: Path) -> None:
    child = run_until_hanging(shop, fdl)
    for _ in range(3):
        os.killpg(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=120)
    assert child.returncode == 130, said
    assert "Traceback" not in said
    shop.check_left_nothing()


def test_a_signal_while_stopping_changes_nothing(shop: Workshop, quick: Path) -> None:
    child = shop.start(quick, shop.inputs({"x.txt": b"x"}))
    until(child, "stopping")
    status, said = end(child)
    assert status in (0, 130), said
    assert "Traceback" not in said
    shop.check_left_nothing()


def test_what_is_ignored_stays_ignored(shop: Workshop, quick: Path) -> None:
    """As under nohup, when the terminal is closed."""
    child = shop.start(quick, shop.inputs({"x.txt": b"x"}), ignore="HUP")
    until(child, "running")
    status, said = end(child, signal.SIGHUP)
    assert status == 0, said


def test_kill_9_takes_everything_with_it(shop: Workshop, fdl: Path) -> None:
    child = run_until_hanging(shop, fdl)
    child.kill()
    child.communicate(timeout=60)
    shop.check_left_nothing()


@pytest.mark.parametrize("phase", ["starting", "deploying"])
def test_kill_9_while_starting(shop: Workshop, quick: Path, phase: str) -> None:
    child = shop.start(quick, shop.inputs({"x.txt": b"x"}))
    until(child, phase)
    child.kill()
    child.communicate(timeout=60)
    shop.check_left_nothing()


@pytest.fixture
def stale(shop: Workshop) -> Iterator[Path]:
    """What a run whose guard was killed too has left."""
    folder = shop.tmp / "oscar-bridge-stale"
    folder.mkdir()
    (folder / ".lock").touch()
    (folder / "secret").touch()
    yield folder


def test_the_next_run_removes_what_a_killed_one_left(
    shop: Workshop, quick: Path, stale: Path
) -> None:
    done = shop.run(quick, shop.inputs({"x.txt": b"x"}))
    assert done.status == 0, done.err
    assert not stale.exists()
