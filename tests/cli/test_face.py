"""The command itself: help, version, what it imports, how it prints and how it fails."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

import bridge as package
from tests.command import COMMAND, EXAMPLES, bridge, environment, plain, python, terminal, write

DEMO = EXAMPLES / "demo" / "demo.yaml"
HEAVY = "boto3 botocore kubernetes minio rich yaml starlette uvicorn docker obstore asyncio sqlite3"
IMPORTS = """
import contextlib, io, sys
from bridge.cli.main import app
with contextlib.redirect_stdout(io.StringIO()):
    try:
        app(sys.argv[1:])
    except SystemExit as end:
        assert not end.code, end.code
print(*sorted(name for name in sys.modules if "." not in name))
"""
ESCAPE = "\x1b["


def imported(*arguments: str | Path) -> set[str]:
    """Top-level modules that a command loads."""
    done = python(IMPORTS, *arguments)
    assert done.status == 0, done.err
    return set(done.out.split())


def test_help_names_every_command_and_exit_status() -> None:
    done = bridge("--help")
    assert done.status == 0
    for word in ("validate", "graph", "plan", "run", "doctor", "schema", "version", "130"):
        assert word in done.out
    assert "Usage" in bridge().out + bridge().err


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("version",)])
def test_help_loads_no_library_that_it_does_not_need(arguments: tuple[str, ...]) -> None:
    assert not imported(*arguments) & set(HEAVY.split())


def test_validate_loads_the_grammar_and_nothing_else() -> None:
    assert imported("validate", DEMO) & set(HEAVY.split()) == {"yaml"}


def test_version() -> None:
    assert bridge("version").out == f"oscar-bridge {package.__version__}\n"
    assert bridge("version", "--json").json == {"version": package.__version__}


@pytest.mark.parametrize(
    "arguments",
    [("fly",), ("version", "--loud"), ("graph",), ("plan", "a.yaml", "b.yaml")],
)
def test_wrong_usage_is_exit_status_2(arguments: tuple[str, ...]) -> None:
    assert "Usage" in bridge(*arguments).failed(2)


def test_colour_is_for_terminals_and_no_color_is_honoured() -> None:
    assert ESCAPE not in bridge("plan", DEMO).out
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m|\x1b\[1m", terminal("plan", DEMO))
    told = terminal("plan", DEMO, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*[349][0-9]m", told)
    assert "lab-cluster" in told


def test_tables_fit_the_terminal() -> None:
    assert max(map(len, plain(terminal("plan", DEMO)).splitlines())) <= 100


@pytest.mark.parametrize("arguments", [("schema",), ("plan", DEMO, "--json"), ("plan", DEMO)])
def test_a_reader_that_goes_away_is_no_traceback(
    arguments: tuple[str | Path, ...], tmp_path: Path
) -> None:
    child = subprocess.Popen(
        [COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "err").open("wb"),
        env=environment(),
    )
    assert child.stdout is not None
    child.stdout.close()
    assert child.wait(60) in (0, 1)
    assert (tmp_path / "err").read_text() == ""


BREAK = """
import sys
from bridge.cli import check, main
def broken(path, form):
    raise ZeroDivisionError("seven")
check.graph = broken
sys.argv = ["oscar-bridge", "graph", "x.yaml"]
main.main()
"""


def test_a_defect_of_ours_is_exit_status_70_and_one_sentence() -> None:
    said = python(BREAK).failed(70)
    assert "ZeroDivisionError: seven" in said and "BRIDGE_DEBUG" in said
    assert len(said.splitlines()) == 2
    shown = python(BREAK, env={"BRIDGE_DEBUG": "1"})
    assert "Traceback" in shown.err


SECRET = """
storage_providers:
  minio:
    default: {endpoint: 'http://localhost:1', access_key: minioadmin, secret_key: s3cr3t-value}
functions:
  oscar:
  - here:
      name: one
      image: x
      memry: 1Gi
      script: one.sh
"""


def test_secrets_of_a_file_are_never_printed(tmp_path: Path) -> None:
    path = write(tmp_path, {"f.yaml": SECRET, "one.sh": "true\n"}) / "f.yaml"
    done = bridge("validate", path)
    done.failed(2)
    good = write(tmp_path, {"g.yaml": SECRET.replace("memry", "memory")}) / "g.yaml"
    for command in ("validate", "graph", "plan"):
        for more in ((), ("--json",)):
            done = bridge(command, good, *more)
            assert done.status == 0, done.err
            assert "s3cr3t-value" not in done.out + done.err


def test_doctor_says_what_is_there_and_what_it_is_good_for(tmp_path: Path) -> None:
    config = write(tmp_path, {"kube": "apiVersion: v1\n"}) / "kube"
    done = bridge(
        "doctor", "--json", env={"KUBECONFIG": str(config), "AWS_ACCESS_KEY_ID": "AKIAnever"}
    )
    assert done.status == 0, done.err
    found = {finding["name"]: finding for finding in done.json}
    assert found["Python 3.11 or newer"]["found"]
    assert found["kubeconfig"]["found"] and str(config) in found["kubeconfig"]["detail"]
    assert found["AWS credentials"]["found"] and "AKIAnever" not in json.dumps(done.json)
    assert all(each["enables"] for each in done.json)


def test_doctor_names_the_remedy_for_what_is_absent(tmp_path: Path) -> None:
    nothing = {"PATH": str(tmp_path), "HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "no")}
    gone = {"AWS_ACCESS_KEY_ID": "", "AWS_SHARED_CREDENTIALS_FILE": "", "AWS_CONFIG_FILE": ""}
    docker = {"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}
    found = {f["name"]: f for f in bridge("doctor", "--json", env=nothing | gone | docker).json}
    for name in ("kubeconfig", "AWS credentials", "Node.js", "container engine"):
        assert not found[name]["found"], found[name]
        assert found[name]["remedy"]
    table = bridge("doctor", env=nothing | gone | docker)
    assert table.status == 0
    assert "install Node.js" in table.out
