"""Submitting a Batch job for an attempt of a job: once, whoever else tries at the same time."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.errors import BridgeError, TargetUnavailable
from bridge.storage.claims import Claim
from bridge.targets.aws.account import Account, translated

__all__ = ["WITHDRAWN", "Submission", "find_job", "submit_once"]

WITHDRAWN: Final = "withdrawn"
"""Who has the claim of an attempt that is not to begin any more."""

_PATIENCE: Final = 60.0
# Who is faster by a moment has an answer soon; who is not is left to the caller's next try.
_PAUSES: Final = (0.1, 0.2, 0.4, 0.8, 1.6)


@dataclass(frozen=True, slots=True)
class Submission:
    """One attempt on its way to Batch. `environment` carries its event.

    `holder` is the name of the run that had the attempt, "" for a new one; `run` is the report of
    that run, if it had one, for the job's record. With `size` it is an array of so many children,
    and `job` the name of that.
    """

    job: str
    attempt: int
    queue: str
    definition: str
    environment: Mapping[str, str]
    holder: str = ""
    run: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0


def submit_once(account: Account, wanted: Submission) -> str:
    """The id of the attempt's Batch job, which is submitted unless that has been done before.

    TargetUnavailable when another run has the attempt at this moment, and for some seconds more.
    """
    holder = wanted.holder or secrets.token_hex(8)
    claims = account.claims
    claim = claims.take(wanted.job, wanted.attempt, holder, time.time() + _PATIENCE)
    if claim.batch_job:
        return claim.batch_job
    if claim.holder != holder:
        return _submitted_by_another(account, wanted)
    # Batch has no token against repetition: who comes after another looks first.
    found = find_job(account, wanted.queue, wanted.job) if claim.again else ""
    try:
        handle = found or _submit(account, wanted, claim.until)
    except BridgeError as error:
        if not isinstance(error, TargetUnavailable):
            claims.let_go(wanted.job, wanted.attempt)
        raise
    run = wanted.run or claim.run
    claims.keep(wanted.job, wanted.attempt, Claim(holder, claim.until, True, handle, run))
    return handle


def _submitted_by_another(account: Account, wanted: Submission) -> str:
    for pause in _PAUSES:
        time.sleep(pause)
        claim = account.claims.read(wanted.job, wanted.attempt)
        if claim and claim.batch_job:
            return claim.batch_job
    found = find_job(account, wanted.queue, wanted.job)
    if found:
        return found
    raise TargetUnavailable(f"job {wanted.job} is being submitted or run by somebody else")


def find_job(account: Account, queue: str, name: str) -> str:
    """The id of the newest job of this name in a queue that has not failed; "" without one."""
    with translated(f"look for {name}"):
        found = account.client("batch").list_jobs(
            jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [name]}]
        )["jobSummaryList"]
    alive = [one for one in found if one.get("status") != "FAILED"]
    return str(alive[-1]["jobId"]) if alive else ""


def _submit(account: Account, wanted: Submission, until: float) -> str:
    if time.time() > until:
        # We were asleep, and somebody else may have the attempt by now.
        raise TargetUnavailable(f"the claim of {wanted.job} has run out")
    pairs = [{"name": name, "value": value} for name, value in wanted.environment.items()]
    with translated(f"submit {wanted.job}"):
        answer = account.client("batch").submit_job(
            jobName=wanted.job,
            jobQueue=wanted.queue,
            jobDefinition=wanted.definition,
            containerOverrides={"environment": pairs},
            tags={"createdby": "oscar-bridge"},
            **({"arrayProperties": {"size": wanted.size}} if wanted.size else {}),
        )
    return str(answer["jobId"])
