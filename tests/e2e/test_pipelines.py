"""Whole pipelines on real servers and real processes: what goes in, what comes out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.command import EXAMPLES, plain, service, terminal
from tests.runs import SHOUT, Workshop, jobs_of

COPY = 'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/"\n'
NAMES = {
    "plain.txt": b"a",
    "with space.txt": b"b",
    "plus+plus.txt": b"c",
    "100%.txt": b"d",
    "per%20cent.txt": b"e",
    "naïve ünïcode 文件.txt": b"f",
    "quote'\"$x`.txt": b"g",
    "-dash.txt": b"h",
    "deep/er/and deeper/leaf.txt": b"i",
    "deep/leaf.txt": b"j",
}


def shout(shop: Workshop, script: str = SHOUT, more: str = "") -> Path:
    """One service from data/in to data/out."""
    item = service("shout", takes=["data/in"], gives=["data/out"], more=more)
    return shop.fdl(item, shout=script)


def test_one_stage(shop: Workshop) -> None:
    done = shop.run(shout(shop), shop.inputs({"hello.txt": b"hello\n"}) / "hello.txt")
    assert done.status == 0, done.err
    assert shop.fetched() == {"shout/hello.txt": b"HELLO\n"}
    answer = done.json
    assert answer["ok"] and answer["complete"] and answer["engine"] == "process"
    (job,) = answer["jobs"]
    assert (job["service"], job["target"], job["kind"]) == ("shout", "here", "oscar")
    assert (job["state"], job["exit_code"], job["attempt"]) == ("succeeded", 0, 1)
    assert (job["input"], job["outputs"]) == ("data/in/hello.txt", ["data/out/hello.txt"])
    assert job["wait"] >= 0 and job["run"] >= 0
    moments = list(job["timeline"].values())
    assert list(job["timeline"]) == ["accepted", "placed", "submitted", "started", "ended"]
    assert 0 < moments[0] <= moments[-1] <= answer["seconds"]
    assert job["phases"].keys() == {"stage_in", "script", "stage_out"}
    (result,) = answer["results"]
    assert result["path"] == str(shop.results / "shout" / "hello.txt")
    assert result["size"] == 6


def test_each_decision_is_told_and_fits_this_machine(shop: Workshop) -> None:
    answer = shop.run(shout(shop), shop.inputs({"a.txt": b"a"})).json
    (decision,) = answer["decisions"]
    assert decision["target"] == "here" and "pins" in decision["reason"]
    stored = answer["jobs"][0]["decision"]
    assert stored["target"] == "here"
    for candidate in (*decision["candidates"], *stored["candidates"]):
        assert candidate["start"] < 1, candidate
        assert candidate["feasible"] or candidate["reasons"]


def test_names_and_folders_survive(shop: Workshop) -> None:
    done = shop.run(shout(shop), shop.inputs(NAMES))
    assert done.status == 0, done.err
    assert {job["input"] for job in done.json["jobs"]} == {f"data/in/{name}" for name in NAMES}
    leaves = {name for name in NAMES if "/" not in name}
    fetched = shop.fetched()
    for name in leaves:
        assert fetched[f"shout/{name}"] == NAMES[name].upper(), name
    assert fetched["shout/leaf.txt"] in (b"I", b"J")  # both write it: the script drops the folder


def test_a_chain_starts_the_second_stage_for_each_part(shop: Workshop) -> None:
    folder = EXAMPLES / "split-detect"
    done = shop.run(folder / "split-detect.yaml", folder / "data")
    assert done.status == 0, done.err
    (split,) = jobs_of(done, "split-log")
    found = jobs_of(done, "detect-errors")
    assert len(split["outputs"]) == len(found) > 1
    assert sorted(job["input"] for job in found) == sorted(split["outputs"])
    results = shop.fetched()
    assert results.keys() == {f"detect-errors/{Path(job['outputs'][0]).name}" for job in found}
    text = b"".join(results.values()).decode().lower()
    lines = (folder / "data" / "cluster.log").read_text().lower().splitlines()
    assert text.count("\n") == sum("error" in line or "fail" in line for line in lines) > 0


def test_a_request_is_answered(shop: Workshop) -> None:
    folder = EXAMPLES / "cowsay"
    done = shop.run(folder / "cowsay.yaml", folder / "message.json")
    assert done.status == 0, done.err
    (reply,) = shop.fetched().items()
    assert reply[0] == "cowsay/message.json.txt"
    said = json.loads((folder / "message.json").read_text())["message"]
    assert f"| {said} |" in reply[1].decode()
    assert done.json["jobs"][0]["input"] == "message.json"


def test_a_request_is_its_bytes_and_its_reply_the_scripts_words(shop: Workshop) -> None:
    """Also when they look like base64, or like an event; nothing of ours is in the reply."""
    event = b'{"Records": [{"eventSource": "aws:s3", "s3": {}}]}'
    bodies = {"a": b"abcd", "b": event, "c": b"\xff\x00\xfe", "d": b"", "e": b"two\nlines"}
    fdl = shop.fdl(
        service("sum", more="log_level: DEBUG"),
        sum='sha256sum < "$INPUT_FILE_PATH"\necho end >&2\n',
    )
    done = shop.run(fdl, shop.inputs(bodies))
    assert done.status == 0, (done.err, done.out)
    assert len(done.json["jobs"]) == len(bodies)
    for name, body in bodies.items():
        expected = f"{hashlib.sha256(body).hexdigest()}  -\nend\n"
        assert shop.fetched()[f"sum/{name}.txt"].decode() == expected, name


def test_two_services_share_one_input(shop: Workshop) -> None:
    fdl = shop.fdl(
        service("left", takes=["data/in"], gives=["left/out"]),
        service("right", takes=["data/in"], gives=["right/out"]),
        left=SHOUT,
        right=COPY,
    )
    done = shop.run(fdl, shop.inputs({"x.txt": b"x"}))
    assert done.status == 0, done.err
    assert shop.fetched() == {"left/x.txt": b"X", "right/x.txt": b"x"}
    assert len(done.json["jobs"]) == 2


def test_two_object_stores_stay_apart(shop: Workshop) -> None:
    """The same path in another store is another place: it starts nothing here."""
    item = service("copy", takes=["data/in"], gives=["data/in"]).replace(
        "output:\n      - storage_provider: minio.default",
        "output:\n      - storage_provider: minio.other",
    )
    fdl = shop.fdl(item, copy=COPY)
    fdl.write_text(
        "storage_providers:\n  minio:\n"
        "    default: {endpoint: 'http://one.example', access_key: a, secret_key: b}\n"
        "    other: {endpoint: 'http://two.example', access_key: a, secret_key: b}\n"
        + fdl.read_text()
    )
    done = shop.run(fdl, shop.inputs({"x.txt": b"x"}))
    assert done.status == 0, done.err
    assert len(done.json["jobs"]) == 1
    assert shop.fetched() == {"copy/x.txt": b"x"}


def test_several_outputs_take_what_their_filters_say(shop: Workshop) -> None:
    item = service("sort", takes=["data/in"], gives=["data/png", "data/txt"])
    item = item.replace("path: data/png", "path: data/png\n        suffix: ['.png']")
    item = item.replace("path: data/txt", "path: data/txt\n        prefix: ['a']")
    script = 'for n in a.png a.txt b.png b.txt; do echo $n > "$TMP_OUTPUT_DIR/$n"; done\n'
    done = shop.run(shop.fdl(item, sort=script), shop.inputs({"x": b""}))
    assert done.status == 0, done.err
    assert sorted(done.json["jobs"][0]["outputs"]) == [
        "data/png/a.png",
        "data/png/b.png",
        "data/txt/a.png",
        "data/txt/a.txt",
    ]
    assert sorted(shop.fetched()) == ["sort/a.png", "sort/a.txt", "sort/b.png"]


@pytest.mark.parametrize("size", [0, 96 * 1024 * 1024])
def test_content_survives_whatever_its_size(shop: Workshop, size: int) -> None:
    block = hashlib.sha256(b"seed").digest() * 32768
    path = shop.inputs({"data.bin": b""}) / "data.bin"
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(size // len(block)):
            digest.update(block)
            file.write(block)
    done = shop.run(shout(shop, COPY), path)
    assert done.status == 0, done.err
    fetched = shop.results / "shout" / "data.bin"
    assert fetched.stat().st_size == size
    with fetched.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == digest.digest()


def test_200_inputs_at_once_are_200_jobs(shop: Workshop) -> None:
    inputs = {f"{n:03}.txt": f"number {n}\n".encode() for n in range(200)}
    done = shop.run(shout(shop), shop.inputs(inputs))
    assert done.status == 0, done.err
    jobs = done.json["jobs"]
    assert sorted(job["input"] for job in jobs) == sorted(f"data/in/{name}" for name in inputs)
    assert {(job["state"], job["attempt"]) for job in jobs} == {("succeeded", 1)}
    assert shop.fetched() == {f"shout/{name}": text.upper() for name, text in inputs.items()}


def test_a_person_reads_a_table_a_timeline_reasons_and_results(shop: Workshop) -> None:
    done = shop.run(shout(shop), shop.inputs({"hello.txt": b"hello\n"}), more="")
    assert done.status == 0, done.err
    for word in ("service", "target", "state", "exit", "wait", "run", "timeline", "results"):
        assert word in done.out
    row = next(line for line in done.out.splitlines() if " succeeded " in line)
    assert row.split()[:4] == ["shout", "here", "succeeded", "0"]
    assert row.count("hello.txt") == 2
    assert "█" in done.out
    assert "shout → here: the file pins it there" in done.out
    assert "not aws-lambda: the FDL file pins shout to here" in done.out
    assert f"{shop.results}/shout/hello.txt (6 B)" in done.out
    assert "1 job in " in done.out
    for phase in ("starting servers", "deploying 1 service", "feeding 1 input", "stopping"):
        assert f"· {phase}" in done.err
    assert "not isolated" in done.err


def test_on_a_terminal_it_counts_and_fits(shop: Workshop) -> None:
    inputs = shop.inputs({f"a file with a rather long name {n}.txt": b"x" * 3000 for n in range(8)})
    said = terminal(*shop.arguments(shout(shop), inputs), **shop.env)
    last = plain(said).partition(" service ")[0].rpartition("stopping")[2]
    assert "23.4 KiB in, 23.4 KiB out" in last
    assert "8 succeeded" in last
    assert "running · 23.4 KiB in" in plain(said)
    table = plain(said).partition(" service ")[2]
    assert "timeline" in table and "…" in table
    assert max(map(len, table.partition("results")[0].splitlines())) <= 100
