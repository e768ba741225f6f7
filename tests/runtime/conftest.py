"""One built runtime folder for all tests of this room."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bridge import runtime


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime folder, built once."""
    if sys.platform != "linux":
        pytest.skip("the runtime folder is built on Linux only")
    return runtime.build(tmp_path_factory.mktemp("runtime") / "bridge")
