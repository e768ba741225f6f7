"""Whole runs in containers of a real engine, with the locally built images."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.command import EXAMPLES, service
from tests.engines.conftest import Engine
from tests.runs import SHOUT, Workshop, end, until
from tests.waiting import eventually

pytestmark = pytest.mark.docker
DEMO = EXAMPLES / "demo"
CHAIN = EXAMPLES / "split-detect"


@pytest.fixture
def shop(engine: Engine, image: Callable[[str], str], tmp_path: Path) -> Iterator[Workshop]:
    """A place for one run; afterwards nothing of it may be left, no container either."""
    for name in ("busybox", "python"):
        image(name)
    made = Workshop(tmp_path)
    yield made
    made.check_left_nothing()
    assert eventually(lambda: not containers(engine, made), 20), containers(engine, made)


def containers(engine: Engine, shop: Workshop) -> list[str]:
    """Ids of this run's containers, ended ones too: those that mount something of its folder."""
    command = [engine.command, "ps", "-aq", "--filter", "label=oscar-bridge.session"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    told = {
        one: subprocess.run(
            [engine.command, "inspect", one], check=False, capture_output=True, text=True
        ).stdout
        for one in found
    }
    return [one for one, text in told.items() if str(shop.tmp) in text]


def test_the_demo_in_containers(shop: Workshop) -> None:
    done = shop.run(DEMO / "demo.yaml", DEMO / "data", engine="container")
    assert done.status == 0, (done.err, done.out[-4000:])
    assert done.json["engine"] == "container"
    assert done.json["notes"] == []
    assert Counter(job["target"] for job in done.json["jobs"]) == {
        "lab-cluster": 1,
        "aws-lambda": 4,
        "aws-batch": 4,
    }
    posters = shop.fetched()
    assert len(posters) == 4
    assert all(ElementTree.fromstring(poster).tag.endswith("svg") for poster in posters.values())


def test_a_chain_in_an_image_with_nothing_but_a_shell(shop: Workshop) -> None:
    done = shop.run(CHAIN / "split-detect.yaml", CHAIN / "data", engine="container")
    assert done.status == 0, (done.err, done.out[-4000:])
    plain = Workshop(shop.folder / "plain")
    assert shop.fetched().keys() == {f"detect-errors/cluster-{n:03}.txt" for n in range(6)}
    assert plain.run(CHAIN / "split-detect.yaml", CHAIN / "data").status == 0
    assert shop.fetched() == plain.fetched()


def test_a_script_sees_its_image_and_not_this_machine(shop: Workshop) -> None:
    script = f'ls {shop.folder} /usr/bin/python3 > "$TMP_OUTPUT_DIR/seen" 2>&1 || true\n'
    fdl = shop.fdl(service("look", takes=["data/in"], gives=["data/out"]), look=script)
    done = shop.run(fdl, shop.inputs({"x": b""}), engine="container")
    assert done.status == 0, (done.err, done.out)
    seen = shop.fetched()["look/seen"].decode()
    assert seen.count("No such file") == 2


def test_auto_takes_containers_where_all_images_are_here(shop: Workshop) -> None:
    fdl = shop.fdl(service("shout", takes=["data/in"], gives=["data/out"]), shout=SHOUT)
    done = shop.run(fdl, shop.inputs({"x": b"x"}), engine="auto")
    assert done.status == 0, (done.err, done.out)
    assert done.json["engine"] == "container"
    assert shop.fetched() == {"shout/x": b"X"}


def test_a_missing_image_is_said_before_any_input_is_fed(shop: Workshop) -> None:
    item = service("lost", takes=["data/in"], gives=["data/out"])
    fdl = shop.fdl(item.replace("busybox:local", "never-built:none"), lost=SHOUT)
    done = shop.run(fdl, shop.inputs({"x": b"x"}), engine="container")
    said = done.failed(1)
    assert "image oscar-bridge/never-built:none is not on this machine" in said
    assert "docker pull" in said
    assert "feeding" not in said


def test_a_missing_image_of_a_function(shop: Workshop) -> None:
    text = (EXAMPLES / "image-conversion" / "image-conversion.yaml").read_text()
    fdl = shop.fdl(grayify="true\n")
    fdl.write_text(text.replace("python:local", "never-built:none"))
    said = shop.run(fdl, shop.inputs({"x.ppm": b"x"}), engine="container").failed(1)
    assert "never-built:none" in said


def test_a_failing_script_in_a_container(shop: Workshop) -> None:
    item = service("work", takes=["data/in"], gives=["data/out"])
    fdl = shop.fdl(item, work="echo the last words\nexit 7\n")
    done = shop.run(fdl, shop.inputs({"x": b"x"}), engine="container")
    assert done.status == 1, done.err
    (job,) = done.json["jobs"]
    assert (job["state"], job["exit_code"]) == ("failed", 7)
    assert "the last words" in job["log"]


@pytest.mark.parametrize("kill", [False, True])
def test_no_container_outlives_its_run(shop: Workshop, engine: Engine, kill: bool) -> None:
    item = service("work", takes=["data/in"], gives=["data/out"])
    fdl = shop.fdl(item, work="sleep 600\n")
    child = shop.start(fdl, shop.inputs({"x": b"x"}), engine="container")
    until(child, "running")
    assert eventually(lambda: bool(containers(engine, shop)))
    if kill:
        child.kill()
        child.communicate(timeout=60)
    else:
        status, said = end(child)
        assert status == 130, said
