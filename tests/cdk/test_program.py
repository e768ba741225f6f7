"""`python -m cdk`, as the CDK CLI and `oscar-bridge apply` start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.cdk.assemblies import ACCOUNT, SECRET, need_node, simple

FACTS = json.dumps({"account": ACCOUNT, "region": "eu-west-1"})


def program(
    folder: Path, *, env: dict[str, str] | None = None, **context: str
) -> subprocess.CompletedProcess[str]:
    need_node()
    given = {"images": "as-is", "facts": FACTS, **context}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-m", "cdk"],
        env={
            **kept,
            "AWS_REGION": "eu-west-1",
            "CDK_OUTDIR": str(folder / "out"),
            "CDK_CONTEXT_JSON": json.dumps(given),
            **(env or {}),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def write(folder: Path, text: str) -> str:
    (folder / "script.sh").write_text("echo hello\n")
    path = folder / "services.yaml"
    path.write_text(text)
    return str(path)


def test_it_writes_an_assembly_without_a_word(tmp_path: Path) -> None:
    keys = f"access_key: lab, secret_key: {SECRET}"
    more = f"storage_providers: {{minio: {{lab: {{endpoint: 'https://m.example.org', {keys}}}}}}}\n"
    text = "functions:\n  aws:" + simple("a").replace(
        "a-bucket/out}", "a-bucket/out}, {storage_provider: minio.lab, path: far-away/c}"
    )
    done = program(tmp_path, fdl=write(tmp_path, text + more))
    assert done.returncode == 0, done.stderr
    assert "!!!" not in done.stderr
    assert "deprecated" not in done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    stacks = [n for n, a in manifest["artifacts"].items() if a["type"].endswith("tion:stack")]
    assert stacks == ["oscar-bridge", "oscar-bridge-services"]
    assert not [
        path
        for path in (tmp_path / "out").rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    # Users of `cdk deploy` must be told who writes the secrets.
    notes = (tmp_path / "out" / "oscar-bridge-services.metadata.json").read_text()
    assert "oscar-bridge secrets" in notes


def test_what_is_wrong_with_the_file_is_said_with_its_place(tmp_path: Path) -> None:
    text = "functions:\n  aws:" + simple("a") + "      memory: 20000\n"
    path = write(tmp_path, text)
    done = program(tmp_path, fdl=path)
    assert done.returncode == 2
    assert f"{path}:10:15: " in done.stderr
    assert "Traceback" not in done.stderr


def test_without_node_it_says_what_to_install(tmp_path: Path) -> None:
    path = write(tmp_path, "functions:\n  aws:" + simple("a"))
    done = program(tmp_path, fdl=path, env={"PATH": "/nonexistent"})
    assert done.returncode == 3
    assert "Node.js" in done.stderr


def test_without_a_file_there_is_the_base_alone(tmp_path: Path) -> None:
    done = program(tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "out").glob("*.template.json")] == [
        "oscar-bridge.template.json"
    ]
