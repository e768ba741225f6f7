"""Pipelines that use Lambda, Batch and S3: the local AWS really runs them."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.command import EXAMPLES, Done, bridge, python, write
from tests.runs import SHOUT, Workshop, end, jobs_of, until

DEMO = EXAMPLES / "demo"
YEARS = ("2012", "2013", "2014", "2015")
FUNCTION = """
functions:
  aws:
  - lambda:
      name: work
      runtime: image
      memory: 256
      timeout: {timeout}
      execution_mode: {mode}
      init_script: work.sh
      container:
        image: oscar-bridge/busybox:local
      input:
      - {{storage_provider: s3, path: {take}}}
      output:
      - {{storage_provider: s3, path: work-data/out}}
"""


def aws(shop: Workshop, script: str, *, mode: str = "lambda", timeout: int = 60) -> Path:
    """One service on AWS, from work-data/in to work-data/out."""
    text = FUNCTION.format(mode=mode, timeout=timeout, take="work-data/in")
    write(shop.folder, {"fdl.yaml": text, "work.sh": script})
    return shop.folder / "fdl.yaml"


def run_one(shop: Workshop, fdl: Path) -> Done:
    return shop.run(fdl, shop.inputs({"x.txt": b"x"}))


def check_demo(results: Mapping[str, bytes]) -> None:
    """Four posters, one per year, whose drawing has that year's days."""
    posters = {f"draw-year/seattle-weather-{year}.svg" for year in YEARS}
    assert results.keys() == posters
    for name in posters:
        year = name[-8:-4]
        image = ElementTree.fromstring(results[name])
        assert image.tag.endswith("svg")
        words = [text.text for text in image.iter("{http://www.w3.org/2000/svg}text")]
        assert year in words and "Seattle" in words


def test_the_demo(shop: Workshop) -> None:
    done = shop.run(DEMO / "demo.yaml", DEMO / "data")
    assert done.status == 0, (done.err, done.out[-3000:])
    subprocess.run(
        [sys.executable, "-m", "json.tool"], input=done.out.encode(), check=True, stdout=-3
    )
    assert Counter((j["service"], j["target"], j["kind"]) for j in done.json["jobs"]) == {
        ("split-years", "lab-cluster", "oscar"): 1,
        ("summarise-year", "aws-lambda", "lambda"): 4,
        ("draw-year", "aws-batch", "batch"): 4,
    }
    assert {(j["state"], j["exit_code"], j["attempt"]) for j in done.json["jobs"]} == {
        ("succeeded", 0, 1)
    }
    assert [d["target"] for d in done.json["decisions"]] == [
        "lab-cluster",
        "aws-lambda",
        "aws-batch",
    ]
    check_demo(shop.fetched())


def test_image_conversion_as_a_person_sees_it(shop: Workshop) -> None:
    folder = EXAMPLES / "image-conversion"
    done = shop.run(folder / "image-conversion.yaml", folder / "data", more="")
    assert done.status == 0, (done.err, done.out)
    (row,) = [line.split() for line in done.out.splitlines() if " succeeded " in line]
    assert row[:2] == ["grayify", "aws-lambda"]
    assert f"{shop.results}/grayify/sunset.png" in done.out
    assert "1 job in " in done.out
    source = (folder / "data" / "sunset.ppm").read_bytes()
    image = shop.fetched()["grayify/sunset.png"]
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", image[16:24]) == tuple(map(int, source.split(maxsplit=3)[1:3]))


def test_mask_detector(shop: Workshop) -> None:
    folder = EXAMPLES / "mask-detector"
    done = shop.run(folder / "mask-detector.yaml", folder / "data")
    assert done.status == 0, (done.err, done.out)
    verdicts = {name: json.loads(text)["mask"] for name, text in shop.fetched().items()}
    assert verdicts == {
        "detect-masks/with-mask.json": True,
        "detect-masks/without-mask.json": False,
    }
    assert {job["target"] for job in done.json["jobs"]} == {"lab-cluster", "aws-lambda"}


@pytest.mark.parametrize("mode", ["lambda", "batch"])
def test_odd_names(shop: Workshop, mode: str) -> None:
    names = {"with space.txt": b"a", "plus+.txt": b"b", "100%20.txt": b"c", "ünï/文.txt": b"d"}
    done = shop.run(aws(shop, SHOUT, mode=mode), shop.inputs(names))
    assert done.status == 0, (done.err, done.out)
    assert {job["input"] for job in done.json["jobs"]} == {f"work-data/in/{n}" for n in names}
    fetched = {f"work/{Path(name).name}": text.upper() for name, text in names.items()}
    assert shop.fetched() == fetched


@pytest.mark.parametrize("mode", ["lambda", "batch"])
def test_a_failing_script(shop: Workshop, mode: str) -> None:
    done = run_one(shop, aws(shop, "echo the last words\nexit 7\n", mode=mode))
    assert done.status == 1, done.err
    (job,) = done.json["jobs"]
    assert (job["state"], job["exit_code"], job["kind"]) == ("failed", 7, mode)
    assert "exit status 7" in job["reason"]
    assert any("the last words" in line for line in job["log"]), job["log"]
    assert shop.fetched() == {}


def test_a_function_that_runs_out_of_its_time(shop: Workshop) -> None:
    done = run_one(shop, aws(shop, "echo begun\nsleep 300\n", timeout=2))
    assert done.status == 1, done.err
    (job,) = done.json["jobs"]
    assert job["state"] == "failed"
    assert any(word in job["reason"].lower() for word in ("timed out", "time was over")), job
    assert any("begun" in line for line in job["log"]), job["log"]


def test_a_run_with_batch_that_runs_out_of_its_time(shop: Workshop) -> None:
    fdl = aws(shop, "echo begun\nsleep 300 &\nsetsid sleep 301\n", mode="batch")
    done = shop.run(fdl, shop.inputs({"x.txt": b"x"}), more="--json --timeout 5")
    assert done.status == 1, done.err
    assert not done.json["complete"]
    (job,) = done.json["jobs"]
    assert not job["exit_code"]


VANISH = """
from bridge.local.session import Session
feed = Session.feed
def without(session, handovers):
    session._places._account.client("s3").delete_bucket(Bucket="work-data-out")
    feed(session, handovers)
Session.feed = without
from bridge.cli.main import main
main()
"""


@pytest.mark.parametrize("mode", ["lambda", "batch"])
def test_an_output_bucket_that_vanishes(shop: Workshop, mode: str) -> None:
    fdl = aws(shop, SHOUT, mode=mode)
    fdl.write_text(fdl.read_text().replace("work-data/out", "work-data-out/out"))
    arguments = shop.arguments(fdl, shop.inputs({"x.txt": b"x"}))
    done = python(VANISH, *arguments, "--json", env=shop.env)
    assert done.status == 1, done.err
    (job,) = done.json["jobs"]
    assert job["state"] == "failed"
    assert "work-data-out" in job["reason"]


def test_a_request_to_a_function(shop: Workshop) -> None:
    text = FUNCTION.format(mode="lambda", timeout=60, take="work-data/in")
    text = text[: text.index("      input:")]
    write(shop.folder, {"fdl.yaml": text, "work.sh": 'echo "got $(cat "$INPUT_FILE_PATH")"\n'})
    done = shop.run(shop.folder / "fdl.yaml", shop.inputs({"a.txt": b"abcd", "b.txt": b"{}"}))
    assert done.status == 0, (done.err, done.out)
    assert shop.fetched() == {"work/a.txt.txt": b"got abcd\n", "work/b.txt.txt": b"got {}\n"}


@pytest.mark.parametrize("phase", ["starting", "deploying", "running"])
def test_a_signal_leaves_nothing_of_aws(shop: Workshop, phase: str) -> None:
    fdl = aws(shop, "sleep 60\n", mode="lambda-batch")
    child = shop.start(fdl, shop.inputs({"x.txt": b"x"}))
    until(child, phase)
    status, said = end(child)
    assert (status, "Traceback" in said) == (130, False), said


def test_kill_9_leaves_nothing_of_aws(shop: Workshop) -> None:
    child = shop.start(DEMO / "demo.yaml", DEMO / "data")
    until(child, "running")
    child.kill()
    child.communicate(timeout=60)
    shop.check_left_nothing()


def test_every_example_is_valid() -> None:
    files = sorted(EXAMPLES.glob("*/*.yaml"))
    done = bridge("validate", *files)
    assert done.status == 0, done.err
    assert len(done.out.splitlines()) == len(files) == 8


FREE = """
targets:
  near: {kind: kubernetes, slots: 1}
  far: {kind: kubernetes, slots: 4, cost_per_hour: 9}
functions:
  bridge:
  - name: anywhere
    image: oscar-bridge/busybox:local
    memory: 64Mi
    cpu: '0.1'
    script: copy.sh
    input:
    - {storage_provider: minio, path: data/in}
    output:
    - {storage_provider: s3, path: work-data/in}
    placement: {policy: fastest}
"""


def test_jobs_are_placed_one_by_one(shop: Workshop) -> None:
    """A service that is pinned nowhere fills the nearest place first, then the others."""
    function = FUNCTION.format(mode="lambda-batch", timeout=60, take="work-data/in")
    text = FREE + function.partition("functions:\n")[2].replace("work.sh", "copy.sh")
    script = 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"\nsleep 0.2\n'
    fdl = write(shop.folder, {"fdl.yaml": text, "copy.sh": script}) / "fdl.yaml"
    inputs = {f"{n}.txt": b"x" for n in range(8)}
    done = shop.run(fdl, shop.inputs(inputs))
    assert done.status == 0, (done.err, done.out[-4000:])
    placed = jobs_of(done, "anywhere")
    assert len({job["target"] for job in placed}) > 1
    assert all(job["decision"]["target"] == job["target"] for job in placed)
    assert shop.fetched() == {f"work/{name}": b"x" for name in inputs}
