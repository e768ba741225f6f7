"""Hand-overs from Lambda to Batch, both in containers: what an engine may do otherwise.

The rest is tried with processes (`tests/targets/aws/test_handover.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.handover import (  # noqa: F401  they are run from here
    test_an_event_above_batchs_limit_is_handed_over_by_reference,
    test_an_invocation_that_was_killed_is_handed_over_by_the_target,
    test_nothing_is_left_of_the_first_run,
    test_what_is_too_long_for_lambda_ends_in_batch_once,
    test_what_runs_out_of_memory_is_handed_over,
)
from tests.conformance.places import Place, places


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with places("container", tmp_path_factory.mktemp("places")) as found:
        yield found["lambda"]
