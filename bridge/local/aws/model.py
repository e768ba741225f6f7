"""What the functions and the batch engine need to know of the endpoint that they stand behind."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

__all__ = ["Cloud", "LogEvent", "Place", "Scope", "Settings"]

LogEvent = tuple[int, str]
"""Milliseconds since the epoch, and a line."""

_CORES: Final = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Scope:
    """The account and region that a request is for."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class Place:
    """How programs that the endpoint runs reach it: its URL from there, and whose keys they get."""

    url: str
    access_key: str
    secret_key: str = field(repr=False)

    def environment(self, scope: Scope) -> dict[str, str]:
        """The variables from which an AWS SDK takes region, keys and endpoint."""
        return {
            "AWS_REGION": scope.region,
            "AWS_DEFAULT_REGION": scope.region,
            "AWS_ENDPOINT_URL": self.url,
            **self.keys(),
        }

    def keys(self) -> dict[str, str]:
        """The variables from which an AWS SDK takes keys."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the endpoint differs from AWS on purpose. Times in seconds.

    `environments` bounds how many function environments live at once, and so is the account's
    concurrency; `async_workers` how many of them serve asynchronous events; `idle` is how long a
    warm one is kept. `retry_delays` come before the second and the third attempt (AWS: 60, 120).
    `batch_workers` bounds the jobs that run at once; `grace` is the time between SIGTERM and
    SIGKILL (AWS: 30); `job_timeout` is the least timeout that a job may have (AWS: 60).
    `log_bytes` of memory hold one log stream, `kept_jobs` how many ended jobs are remembered.
    """

    environments: int = max(16, 8 * _CORES)
    async_workers: int = max(4, 2 * _CORES)
    idle: float = 60.0
    init_timeout: float | None = None
    retry_delays: tuple[float, ...] = (1.0, 2.0)
    batch_workers: int = max(4, 2 * _CORES)
    grace: float = 5.0
    job_timeout: int | None = None
    log_bytes: int = 64 * 1024 * 1024
    kept_jobs: int = 20_000


class Cloud(Protocol):
    """The other services of the endpoint. All methods may be called from any thread."""

    def put_logs(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent]) -> None:
        """Append to a log stream, which is created with its group when absent."""
        ...

    def deliver(
        self, scope: Scope, target: str, body: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        """Send to a queue, topic, function or event bus; NotFoundError when it is not there."""
        ...

    def secret(self, scope: Scope, where: str) -> str:
        """A value of Secrets Manager (by ARN, with AWS's `:key:stage:version` after it) or of SSM
        (by name or ARN); NotFoundError when it is not there."""
        ...

    def put_event(
        self,
        scope: Scope,
        source: str,
        kind: str,
        resources: Sequence[str],
        detail: Mapping[str, Any],
    ) -> None:
        """Put an event of AWS itself on the default event bus."""
        ...
