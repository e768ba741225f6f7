"""A started Lambda entry for one test, with a folder store for its outputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lambda_runtime.runtime_api import Function

Start = Callable[..., Function]


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """The bucket `results` of the folder store."""
    bucket = tmp_path / "store" / "results"
    bucket.mkdir(parents=True)
    return bucket


@pytest.fixture
def start(tmp_path: Path, outputs: Path) -> Iterator[Start]:
    """Start the entry with a script and what else the service needs; stopped after the test."""
    running: list[Function] = []

    def started(
        script: str,
        *,
        service: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
        largest: int = 6_291_556,
    ) -> Function:
        document = {
            "name": "svc",
            "output": [{"storage_provider": "folder.default", "path": "results/out"}],
            "storage_providers": {"folder": {"default": {"root": str(outputs.parent)}}},
        }
        (tmp_path / "service.json").write_text(json.dumps(document | (service or {})))
        (tmp_path / "script.sh").write_text(script)
        variables = {
            "BRIDGE_SERVICE_FILE": str(tmp_path / "service.json"),
            "BRIDGE_SCRIPT_FILE": str(tmp_path / "script.sh"),
        }
        function = Function(tmp_path, variables | (environment or {}), largest=largest)
        running.append(function)
        return function

    yield started
    for function in running:
        function.close()
