"""validate, graph, schema: what is said of files without running anything."""

from __future__ import annotations

import os
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.command import EXAMPLES, bridge, document, service, write

DEMO = EXAMPLES / "demo" / "demo.yaml"
CHAIN = EXAMPLES / "split-detect" / "split-detect.yaml"
SCRIPT = "#!/bin/sh\ntrue\n"
KEYS = {"file", "line", "column", "path", "message", "hint"}


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A file with two mistakes: a key that does not exist, a quantity that is none."""
    text = document(service("one", takes=["data/in"], more="memry: 1Gi")).replace(
        "64Mi", "64 Potatoes"
    )
    return write(tmp_path, {"broken.yaml": text, "one.sh": SCRIPT}) / "broken.yaml"


@pytest.fixture
def cyclic(tmp_path: Path) -> Path:
    text = document(
        service("there", takes=["ping/in"], gives=["pong/in"]),
        service("back", takes=["pong/in"], gives=["ping/in"]),
    )
    files = {"cycle.yaml": text, "there.sh": SCRIPT, "back.sh": SCRIPT}
    return write(tmp_path, files) / "cycle.yaml"


def test_valid_files_are_named_and_the_status_is_0() -> None:
    done = bridge("validate", DEMO, CHAIN)
    assert done.status == 0, done.err
    assert done.out.splitlines() == [f"{DEMO}: valid", f"{CHAIN}: valid"]


def test_every_problem_of_every_file_is_listed_with_its_place(broken: Path) -> None:
    done = bridge("validate", DEMO, broken, "absent.yaml")
    said = done.failed(2)
    lines = broken.read_text().splitlines()
    for word in ("memry", "Potatoes"):
        number = next(n for n, line in enumerate(lines, 1) if word in line)
        assert f"{broken}:{number}:" in said
    assert "did you mean" in said.lower() and "memory" in said
    assert "absent.yaml:1:1: the file cannot be read" in said
    assert said.splitlines()[-1] == "3 problems"
    assert done.out.splitlines() == [f"{DEMO}: valid"]


def test_json_is_a_list_of_problems(broken: Path) -> None:
    done = bridge("validate", "--json", broken)
    assert done.status == 2
    assert len(done.json) == 2
    for problem in done.json:
        assert problem.keys() == KEYS
        assert problem["file"] == str(broken)
        assert problem["line"] > 1 and problem["column"] >= 1
        assert problem["message"]
    assert any(p["path"] == "functions.oscar[0].here.memory" for p in done.json)
    assert bridge("validate", "--json", DEMO).json == []


def test_what_is_no_file_is_a_problem(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    done = bridge("validate", "--json", tmp_path, tmp_path / "pipe", tmp_path / "binary")
    assert done.status == 2
    assert [Path(p["file"]).name for p in done.json] == [tmp_path.name, "pipe", "binary"]
    assert all(p["message"].startswith("the file ") for p in done.json)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_an_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    path = write(tmp_path, {"secret.yaml": "functions: {}"}) / "secret.yaml"
    path.chmod(0)
    assert "cannot be read" in bridge("validate", path).failed(2)


def test_a_cycle_is_reported_with_its_way(cyclic: Path) -> None:
    said = bridge("validate", cyclic).failed(2)
    assert "there → pong/in → back → ping/in → there" in said
    assert f"{cyclic}:" in said


def test_without_a_file_the_usage_is_said() -> None:
    assert "Usage" in bridge("validate").failed(2)


def test_graph_draws_mermaid_dot_and_json() -> None:
    mermaid = bridge("graph", DEMO).out
    assert mermaid.startswith(("flowchart", "graph"))
    dot = bridge("graph", DEMO, "--format", "dot").out
    assert dot.startswith("digraph")
    for name in ("split-years", "summarise-year", "draw-year"):
        assert name in mermaid
        assert name in dot
    drawn = bridge("graph", DEMO, "--format", "json")
    assert drawn.json == bridge("graph", DEMO, "--json").json
    assert [stage["service"] for stage in drawn.json["stages"]] == [
        "split-years",
        "summarise-year",
        "draw-year",
    ]


def test_graph_refuses_what_it_cannot_draw(cyclic: Path) -> None:
    said = bridge("graph", DEMO, "--format", "png").failed(2)
    assert "png" in said and "mermaid, dot or json" in said
    assert "there" in bridge("graph", cyclic).failed(2)


def test_schema_is_a_valid_schema_that_takes_the_examples(broken: Path) -> None:
    schema = bridge("schema").json
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    for path in EXAMPLES.glob("*/*.yaml"):
        validator(schema).validate(yaml.safe_load(path.read_text()))
    assert not validator(schema).is_valid(yaml.safe_load(broken.read_text()))
