"""What the Lambda and Batch targets do alike: render a service, wrap an event, read a report."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

from bridge.errors import NotFoundError
from bridge.events import delegated
from bridge.fdl.model import ProviderRef, Service
from bridge.targets.aws.account import Account, translated
from bridge.targets.aws.definitions import Places, secret_name, secret_values
from bridge.targets.protocol import Job, JobState, JobUpdate
from bridge.targets.render import ProviderAccess, service_document
from bridge.targets.reports import reported

__all__ = [
    "Recent",
    "carried",
    "delete_secret",
    "deploy_service",
    "event_of",
    "is_within",
    "log_lines",
    "update_from_report",
]


T = TypeVar("T")
_KEPT: Final = 20_000


class Recent(Generic[T]):
    """The newest of some facts by job, as many as one asks for again. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, T] = {}

    def put(self, job: str, fact: T) -> None:
        """Keep the fact, in place of an older one."""
        with self._lock:
            self._kept.pop(job, None)
            self._kept[job] = fact
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]

    def get(self, job: str) -> T | None:
        """What was put last, None when that is too long ago."""
        return self._kept.get(job)


def is_within(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Whether everything that is wanted is there; what is there beside it does not count."""
    return all(
        is_within(value, there[key])
        if isinstance(value, Mapping) and isinstance(there.get(key), Mapping)
        else there.get(key) == value
        for key, value in wanted.items()
    )


def deploy_service(
    account: Account,
    service: Service,
    access: Mapping[ProviderRef, ProviderAccess],
    kind: str,
) -> Places:
    """Put the rendered service and its secrets where jobs find them, and say where that is.

    Credentials go into one Secrets Manager secret per service and `kind` of target, never into the
    environment.
    """
    document = service_document(service, access)
    values = secret_values(service, access)
    return Places(
        document=account.put_service(document, service.script_text),
        reports=account.reports,
        claims=account.claims_url,
        secret=_put_secret(account, _secret(account, service.name, kind), values) if values else "",
    )


def _secret(account: Account, service: str, kind: str) -> str:
    # Each target has its own: one may leave a service that the other keeps.
    return secret_name(f"{account.settings.name}/{kind}", service)


def delete_secret(account: Account, service: str, kind: str) -> None:
    """Delete what `deploy_service` wrote; no error when there is none."""
    name = _secret(account, service, kind)
    with contextlib.suppress(NotFoundError), translated(f"secret {name}"):
        account.client("secretsmanager").delete_secret(
            SecretId=name, ForceDeleteWithoutRecovery=True
        )


def _put_secret(account: Account, name: str, values: Mapping[str, Mapping[str, str]]) -> str:
    """Write a secret, which is made when absent; its name."""
    client = account.client("secretsmanager")
    text = json.dumps(values, sort_keys=True)
    with translated(f"secret {name}"):
        try:
            with translated(f"secret {name}"):
                client.put_secret_value(SecretId=name, SecretString=text)
        except NotFoundError:
            client.create_secret(Name=name, SecretString=text)
    return name


def event_of(account: Account, job: Job, limit: int) -> tuple[str, str]:
    """(name, value) of the environment variable that carries a job's event.

    The text itself up to `limit` bytes, else an s3:// URL of it in the work bucket.
    """
    text = json.dumps(delegated(job.event, job.event.provider, job.id, job.attempt, job.trace))
    return carried(account, job.id, text, limit)


def carried(account: Account, job: str, text: str, limit: int) -> tuple[str, str]:
    """(name, value) of the variable that carries a text which is an event already.

    It is measured as it stands in a request: as JSON within JSON.
    """
    if len(json.dumps(text)) <= limit:
        return "EVENT", text
    return "BRIDGE_EVENT_URL", account.put(f"events/{job}.json", text.encode())


def update_from_report(
    account: Account, job: str, attempt: int, handle: str, log: str
) -> JobUpdate | None:
    """The final news that the supervisor's report of this attempt means; None without one.

    A report of success counts whichever attempt wrote it: a later one does not run again.
    """
    report = account.report(job)
    if report.get("attempt") != attempt and report.get("state") != JobState.SUCCEEDED:
        return None
    return reported(job, report, handle=handle, log=log)


def log_lines(account: Account, group: str, stream: str) -> Iterator[str]:
    """Every line of a log stream, oldest first; none when it is not there."""
    client = account.client("logs")
    token: dict[str, str] = {}
    while True:
        try:
            with translated(f"log {group}/{stream}"):
                page = client.get_log_events(
                    logGroupName=group, logStreamName=stream, startFromHead=True, **token
                )
        except NotFoundError:
            return
        yield from (str(event["message"]).rstrip("\n") for event in page["events"])
        following = {"nextToken": page["nextForwardToken"]}
        # The same token again is how CloudWatch says that there is no more.
        if following == token or not page["events"]:
            return
        token = following
