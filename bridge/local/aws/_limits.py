"""The limits of AWS that the endpoint enforces itself, grouped for their users.

Their values, sources and dates are in the one file of `bridge.fdl.limits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from bridge.fdl import limits


@dataclass(frozen=True, slots=True)
class Range:
    """Both ends are allowed."""

    min: int
    max: int

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and self.min <= value <= self.max


@dataclass(frozen=True, slots=True)
class LambdaLimits:
    """Sizes in bytes, times in seconds, memory in MB."""

    request_bytes: int
    response_bytes: int
    async_request_bytes: int
    init_seconds: int
    environment_bytes: int
    memory_mb: Range
    timeout_seconds: Range
    retry_attempts: int
    event_age_seconds: int
    error_message_bytes: int


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Sizes in bytes, times in seconds, memory in MiB."""

    submit_bytes: int
    definition_bytes: int
    array_size: Range
    dependencies: int
    job_queues: int
    compute_environments: int
    environments_per_queue: int
    described_jobs: int
    listed_jobs: int
    attempts: Range
    exit_rules: int
    timeout_seconds: int
    priority: Range
    least_memory: int


@cache
def lambda_limits() -> LambdaLimits:
    """Those of Lambda."""
    return LambdaLimits(
        request_bytes=_most("lambda.payload_sync"),
        response_bytes=_most("lambda.payload_response"),
        async_request_bytes=_most("lambda.payload_async"),
        init_seconds=_most("lambda.init"),
        environment_bytes=_most("lambda.environment"),
        memory_mb=_range("lambda.memory"),
        timeout_seconds=_range("lambda.timeout"),
        retry_attempts=_most("lambda.retries"),
        event_age_seconds=_most("lambda.event_age"),
        error_message_bytes=_most("lambda.dead_letter_message"),
    )


@cache
def batch_limits() -> BatchLimits:
    """Those of Batch."""
    return BatchLimits(
        submit_bytes=_most("batch.submit_payload"),
        definition_bytes=_most("batch.job_definition"),
        array_size=_range("batch.array"),
        dependencies=_most("batch.dependencies"),
        job_queues=_most("batch.queues"),
        compute_environments=_most("batch.environments"),
        environments_per_queue=_most("batch.environments_per_queue"),
        described_jobs=_most("batch.described_jobs"),
        listed_jobs=_most("batch.listed_jobs"),
        attempts=_range("batch.retries"),
        exit_rules=_most("batch.exit_rules"),
        timeout_seconds=_least("batch.timeout"),
        priority=_range("batch.priority"),
        least_memory=_least("batch.memory"),
    )


def _most(name: str) -> int:
    found = limits()[name].max
    assert found is not None, f"{name} has no max"
    return found


def _least(name: str) -> int:
    found = limits()[name].min
    assert found is not None, f"{name} has no min"
    return found


def _range(name: str) -> Range:
    return Range(_least(name), _most(name))
