"""What the Lambda and Batch targets do alike: render a service, wrap an event, read a report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from bridge.errors import NotFoundError
from bridge.events import delegated
from bridge.fdl.model import ProviderRef, Service
from bridge.targets.aws.account import Account, translated
from bridge.targets.aws.definitions import Places, secret_name, secret_values
from bridge.targets.protocol import Job, JobState, JobUpdate
from bridge.targets.render import ProviderAccess, service_document
from bridge.targets.reports import reported

__all__ = [
    "carried",
    "deploy_service",
    "event_of",
    "log_lines",
    "put_secret",
    "update_from_report",
]


def deploy_service(
    account: Account, service: Service, access: Mapping[ProviderRef, ProviderAccess]
) -> Places:
    """Put the rendered service and its secrets where jobs find them, and say where that is.

    Credentials go into one Secrets Manager secret per service, never into the environment.
    """
    document = service_document(service, access)
    values = secret_values(service, access)
    return Places(
        document=account.put_service(document, service.script_text),
        reports=account.reports,
        claims=account.claims_url,
        secret=put_secret(account, service.name, values) if values else "",
    )


def put_secret(account: Account, service: str, values: Mapping[str, Mapping[str, str]]) -> str:
    """Write the secret of a service, which is made when absent; its name."""
    client = account.client("secretsmanager")
    name = secret_name(account.settings.name, service)
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
