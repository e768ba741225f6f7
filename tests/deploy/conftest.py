"""One endpoint for all tests of deployment; each test has a prefix of its own in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.local.aws import AwsEndpoint, Settings
from tests.deploy.assemblies import Bench

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsEndpoint]:
    """Process mode, with short delays."""
    folder = tmp_path_factory.mktemp("endpoint")
    with AwsEndpoint(folder / "aws", settings=Settings(retry_delays=(0.02, 0.04))) as one:
        yield one


@pytest.fixture
def bench(endpoint: AwsEndpoint, tmp_path: Path) -> Bench:
    """A deployment of its own."""
    return Bench(endpoint, f"ob{next(_NUMBERS)}", tmp_path)
