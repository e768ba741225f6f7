"""One endpoint for all tests of this folder that do not need their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.local.aws.batch import Batch, make
from tests.local.aws.endpoint import Aws, running


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """Process mode, with short delays."""
    with running(tmp_path_factory.mktemp("endpoint")) as one:
        yield one


@pytest.fixture
def batch(aws: Aws) -> Batch:
    """A queue of its own."""
    return make(aws)
