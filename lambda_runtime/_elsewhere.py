"""Jobs that another run has, or that go on in Batch: each attempt of a job is one run's alone."""

from __future__ import annotations

import json
import os
import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from bridge.errors import BridgeError, PermanentError, TargetUnavailable
from bridge.events import Event, delegated
from bridge.supervisor import Report, StoreFactory, work_base
from bridge.supervisor.report import HANDED_OVER
from lambda_runtime._limits import limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bridge.storage.claims import Claims

# After this, whoever follows the job may finish a hand-over that stopped half-way.
_HAND_OVER: Final = 60.0
# A claim outlives its invocation a little: the clocks of two machines differ.
_SKEW: Final = 5.0
# What else is in a request that submits a job.
_OVERHEAD: Final = 2048
_SUBMIT_TRIES: Final = 3


class Elsewhere(NamedTuple):
    """A job that this invocation does not finish: `batch_job` is its id there when it is known.

    `run` is the report of an earlier try of this invocation that died while it handed it over.
    """

    job: str
    attempt: int
    state: str
    batch_job: str = ""
    run: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """What the answer says of it."""
        return {name: value for name, value in self._asdict().items() if name != "run"}


class Batch(NamedTuple):
    """Where jobs go on: BRIDGE_BATCH_QUEUE and BRIDGE_BATCH_DEFINITION."""

    queue: str
    definition: str

    def submit(self, name: str, environment: Mapping[str, str]) -> str:
        """The id of the Batch job of this name, submitted unless it is there already.

        SubmitJob has no token against repetition: after an answer that was lost, the job is looked
        for. Raises what `bridge.storage.aws.call` raises.
        """
        found = self._found(name)
        for left in range(_SUBMIT_TRIES - 1, -1, -1):
            if found:
                break
            try:
                return self._submit(name, environment)
            except TargetUnavailable:
                if not left:
                    raise
            found = self._found(name)
        return found

    def _submit(self, name: str, environment: Mapping[str, str]) -> str:
        pairs = [{"name": key, "value": value} for key, value in environment.items()]
        body = {
            "jobName": name,
            "jobQueue": self.queue,
            "jobDefinition": self.definition,
            "containerOverrides": {"environment": pairs},
            "tags": {"createdby": "oscar-bridge"},
        }
        return str(_call("submitjob", f"submit {name} to {self.queue}", body, 1).get("jobId"))

    def _found(self, name: str) -> str:
        body = {"jobQueue": self.queue, "filters": [{"name": "JOB_NAME", "values": [name]}]}
        answer = _call("listjobs", f"look for {name} in {self.queue}", body, 3)
        jobs = [one for one in answer.get("jobSummaryList", ()) if one.get("status") != "FAILED"]
        return str(jobs[-1]["jobId"]) if jobs else ""


class Arbiter(NamedTuple):
    """Says which run has an attempt, and hands attempts over. Without `claims` all are free."""

    environ: Mapping[str, str]
    claims: Claims | None
    batch: Batch | None

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Arbiter:
        """As BRIDGE_CLAIMS and BRIDGE_BATCH_* say."""
        url = environ.get("BRIDGE_CLAIMS", "")
        queue = environ.get("BRIDGE_BATCH_QUEUE", "")
        definition = environ.get("BRIDGE_BATCH_DEFINITION", "")
        if bool(queue) != bool(definition) or (queue and not url):
            raise PermanentError(
                "BRIDGE_BATCH_QUEUE, BRIDGE_BATCH_DEFINITION and BRIDGE_CLAIMS go together"
            )
        batch = Batch(queue, definition) if queue else None
        if not url:
            return cls(environ, None, batch)
        from bridge.storage.claims import Claims  # noqa: PLC0415  not every function has them

        return cls(environ, Claims(url), batch)

    def take(self, job: str, attempt: int, holder: str, deadline: float) -> Elsewhere | None:
        """None when this invocation has the attempt now."""
        if self.claims is None:
            return None
        until = (deadline or time.time() + _HAND_OVER) + _SKEW
        claim = self.claims.take(job, attempt, holder, until)
        if claim.handed:
            mine = claim.holder == holder and not claim.batch_job
            return Elsewhere(
                job, attempt, HANDED_OVER, claim.batch_job, claim.run if mine else None
            )
        return None if claim.holder == holder else Elsewhere(job, attempt, "running")

    def let_go(self, job: str, attempt: int) -> None:
        """The attempt has failed here and may be tried again; at the claim's end if not now."""
        if self.claims is None:
            return
        try:
            self.claims.let_go(job, attempt)
        except BridgeError:
            return

    def hand_over(
        self, holder: str, event: Event, report: Report, script: str, stores: StoreFactory
    ) -> str:
        """Make the attempt Batch's; the Batch job's id. `holder` has the claim."""
        from bridge.storage.claims import Claim  # noqa: PLC0415  few invocations get so far

        assert self.claims is not None and self.batch is not None
        claim = Claim(holder, time.time() + _HAND_OVER, handed=True, run=_handed(report))
        try:
            environment = self._environment(event, report, script, stores)
            self.claims.keep(report.job, report.attempt, claim)
            found = self.batch.submit(report.job, environment)
        except BridgeError:
            self.let_go(report.job, report.attempt)
            raise
        try:
            self.claims.keep(report.job, report.attempt, claim._replace(batch_job=found))
        except TargetUnavailable:
            return found  # whoever needs the id finds it by the job's name
        return found

    def _environment(
        self, event: Event, report: Report, script: str, stores: StoreFactory
    ) -> dict[str, str]:
        body = delegated(event, event.provider, report.job, report.attempt)
        text = json.dumps(body)
        found = {"JOB_UUID": report.job}
        if script:
            found["SCRIPT"] = b64encode(script.encode()).decode()
        room = limit("batch_submit") - _OVERHEAD - sum(len(v) for v in found.values())
        # As it stands in the request: JSON within JSON.
        if len(json.dumps(text)) <= room:
            return found | {"EVENT": text}
        if room < 0:
            raise PermanentError("the event's script is above Batch's limit for a submit")
        return found | {"BRIDGE_EVENT_URL": self._put(report, text, stores)}

    def _put(self, report: Report, text: str, stores: StoreFactory) -> str:
        bucket = self.environ["BRIDGE_CLAIMS"].removeprefix("s3://").partition("/")[0]
        key = f"events/{report.job}.json"
        path = f"{work_base(self.environ)}/bridge-event-{os.urandom(6).hex()}"
        try:
            with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
                file.write(text)
            stores("s3.default").put(bucket, key, path)
        finally:
            if os.path.exists(path):  # noqa: PTH110
                os.unlink(path)  # noqa: PTH108
        return f"s3://{bucket}/{key}"


def _handed(report: Report) -> dict[str, Any]:
    return report._replace(state=HANDED_OVER).as_json()


def _call(operation: str, what: str, body: Mapping[str, Any], tries: int) -> dict[str, Any]:
    from bridge.storage.aws import Call, call  # noqa: PLC0415  few invocations get so far

    return call(Call("batch", what, body, path=f"/v1/{operation}", tries=tries))
