"""What a cluster may do otherwise than other places, of the conformance suite.

The rest of it is the supervisor's own, and is tried in other places.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.targets.kubernetes import Connection
from tests.conformance.places import Place
from tests.conformance.suite import (  # noqa: F401  they are run from here
    test_a_cancelled_job_stops,
    test_a_memory_hog_fails_with_that_reason,
    test_an_event_of_two_megabytes_arrives_whole,
    test_an_interpreter_that_is_not_there_is_named,
    test_it_writes_to_another_provider,
    test_the_exit_code_counts_and_a_failure_writes_nothing,
    test_the_same_job_again_runs_once,
    test_the_script_sees_its_environment_and_nothing_of_ours,
    test_the_time_limit_kills_grandchildren_and_what_ignores_sigterm,
    test_what_is_printed_is_in_the_log_in_its_order,
)
from tests.engines.kubernetes.places import kubernetes_place

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]


@pytest.fixture(scope="module")
def place(
    cluster: Connection,
    module_namespace: str,
    runtime_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    with kubernetes_place(module_namespace, runtime_image, folder) as found:
        yield found
