"""Registries and a small runtime folder for the tests of this room."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.images import Bundle
from tests.images.registries import Served, password, registry


@pytest.fixture(scope="session")
def open_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A registry that asks for nothing; use repositories of your own in it."""
    with registry(tmp_path_factory.mktemp("open-registry")) as served:
        yield served


@pytest.fixture(scope="session")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A registry that asks for GOOD."""
    folder = tmp_path_factory.mktemp("private-registry")
    with registry(folder, password(folder)) as served:
        yield served


def small_runtime(folder: Path, machine: str = "x86_64") -> Path:
    """A folder that looks like a runtime's and has a few bytes."""
    (folder / "bin").mkdir(parents=True)
    for entry in ("bridge-batch", "bridge-lambda"):
        (folder / "bin" / entry).write_text("#!/bin/sh\necho started\n")
        (folder / "bin" / entry).chmod(0o755)
    facts = {"digest": "d" * 64, "machine": machine, "python": "3.11.7", "version": "0.1.0"}
    (folder / "runtime.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A small runtime for amd64."""
    return Bundle.of(small_runtime(tmp_path / "runtime"))
