"""The limits of AWS that the endpoint enforces itself, from `limits.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


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
    """Sizes in bytes, times in seconds."""

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


@cache
def lambda_limits() -> LambdaLimits:
    """Those of Lambda."""
    return LambdaLimits(**_table("lambda"))


@cache
def batch_limits() -> BatchLimits:
    """Those of Batch."""
    return BatchLimits(**_table("batch"))


def _table(name: str) -> dict[str, Any]:
    text = resources.files(__package__).joinpath("limits.toml").read_text("utf-8")
    table = tomllib.loads(text)[name]
    return {key: _value(value) for key, value in table.items() if key not in {"as_of", "source"}}


def _value(value: Any) -> Any:
    return Range(**value) if isinstance(value, dict) else value
