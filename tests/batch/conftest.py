"""The Batch entry as the process that Batch would start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """The bucket `results` of the folder store."""
    folder = tmp_path / "store" / "results"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def environment(tmp_path: Path, bucket: Path) -> Callable[..., dict[str, str]]:
    """The variables of a job that runs a script on an event."""

    def made(script: str, event: Any, **more: str) -> dict[str, str]:
        document = {
            "name": "svc",
            "output": [{"storage_provider": "folder.default", "path": "results/out"}],
            "storage_providers": {"folder": {"default": {"root": str(bucket.parent)}}},
        }
        (tmp_path / "service.json").write_text(json.dumps(document))
        (tmp_path / "script.sh").write_text(script)
        (tmp_path / "tmp").mkdir(exist_ok=True)
        (tmp_path / "reports").mkdir(exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(tmp_path / "tmp"),
            "BRIDGE_SERVICE_FILE": str(tmp_path / "service.json"),
            "BRIDGE_SCRIPT_FILE": str(tmp_path / "script.sh"),
            "BRIDGE_REPORT": f"{tmp_path}/reports/",
            "EVENT": event if isinstance(event, str) else json.dumps(event),
            **more,
        }

    return made


@pytest.fixture
def run(environment: Callable[..., dict[str, str]], tmp_path: Path) -> Run:
    """Run the entry to its end."""

    def done(script: str, event: Any, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "batch"],
            env=environment(script, event, **more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return done


@pytest.fixture
def reports(tmp_path: Path) -> Callable[[], dict[str, dict[str, Any]]]:
    """The reports so far, by the job's name."""

    def read() -> dict[str, dict[str, Any]]:
        found = [json.loads(path.read_text()) for path in (tmp_path / "reports").iterdir()]
        return {report["job"]: report for report in found}

    return read
