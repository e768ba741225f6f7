"""Fixtures that more than one room's tests need."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import ObjectStore, juicefs_gateway

# How fast an example is drawn says more of the machine than of us.
settings.register_profile(
    "ours", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ours")

# Thousands of tests, made once and there to the end: nothing in them is to be collected.
gc.disable()


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """One real S3 server for the whole session; make buckets of your own in it."""
    with juicefs_gateway() as store:
        yield store


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """From here on what is made is looked through, and only that."""
    gc.freeze()
    gc.enable()
