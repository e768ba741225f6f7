"""The HTTP face: run a service, start a job, ask for a job; each with a service's token."""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bridge import events
from bridge.dispatch.model import Change, JobDetail, JobRecord, NewJob, Output
from bridge.errors import BridgeError, EventError, NotFoundError, TemporaryError
from bridge.events import Event, job_id
from bridge.targets import JobState
from bridge.targets.aws.account import Account, translated
from bridge.targets.aws.common import update_from_report
from bridge.targets.aws.functions import Reply
from lambda_runtime.dispatcher.burst import Burst
from lambda_runtime.dispatcher.registry import Known
from lambda_runtime.dispatcher.worker import Worker
from lambda_runtime.dispatcher.world import World

__all__ = ["Answer", "Request", "Tokens", "Web"]

LOG: Final = logging.getLogger("oscar-bridge")
_ALL: Final = "*"
_FRESH: Final = 60.0
_LEAST: Final = 5.0
_JSON: Final = {"Content-Type": "application/json"}
# A function's request must not see who may call it.
_OURS: Final = frozenset({"authorization", "cookie", "x-api-key"})


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. Names of headers are in lower case; `id` is the request's own."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered: a status, text and headers."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=lambda: dict(_JSON))


class Tokens:
    """Who may call which service, from the secret `name`: `{"<service>" or "*": "<token>"}`."""

    def __init__(self, account: Account, name: str) -> None:
        self._account = account
        self._name = name
        self._lock = threading.Lock()
        self._known: Mapping[str, str] = {}
        self._at = float("-inf")

    def allows(self, service: str, headers: Mapping[str, str]) -> bool:
        """Whether the request's bearer token is the service's, or the one for all."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip() or not self._name:
            return False
        given = given.strip()
        return self._fits(service, given, _FRESH) or self._fits(service, given, _LEAST)

    def _fits(self, service: str, given: str, fresh: float) -> bool:
        known = self._read(fresh)
        wanted = [known[name] for name in (service, _ALL) if known.get(name)]
        same = [hmac.compare_digest(given.encode(), one.encode()) for one in wanted]
        return True in same

    def _read(self, fresh: float) -> Mapping[str, str]:
        with self._lock:
            if time.monotonic() - self._at >= fresh:
                with translated(f"secret {self._name}"):
                    text = self._account.client("secretsmanager").get_secret_value(
                        SecretId=self._name
                    )["SecretString"]
                value = json.loads(text)
                self._known = {str(k): str(v) for k, v in value.items()}
                self._at = time.monotonic()
            return self._known


class Web:
    """Answers requests. Nothing here raises: what fails is an answer too."""

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self._worker = worker
        self._tokens = Tokens(world.account, world.environment.tokens)

    # --- the routes ---------------------------------------------------------------------------

    def run(self, service: str, request: Request) -> Answer:
        """Run the service's function with the request's body and answer what it answers."""
        return self._answered(service, request, self._run)

    def job(self, service: str, request: Request) -> Answer:
        """Make a job of the body, or one for each object that it names as an event."""
        return self._answered(service, request, self._job)

    def look(self, job: str, request: Request) -> Answer:
        """One job, for who may call its service."""
        try:
            found = self._world.table.detail(job)
            service = found.job.service if found else _ALL
            if not self._tokens.allows(service, request.headers):
                return _unauthorised()
        except BridgeError as error:
            return _failed(error)
        return _said(200, _shown(found)) if found else _said(404, error=f"there is no job {job}")

    def _answered(self, service: str, request: Request, do: Any) -> Answer:
        try:
            if not self._tokens.allows(service, request.headers):
                return _unauthorised()
            known = self._world.service(service)
            if known is None:
                return _said(404, error=f"there is no service {service}")
            answer: Answer = do(known, request)
        except BridgeError as error:
            return _failed(error)
        except Exception:
            LOG.exception("a request for service %s broke", service)
            return _said(500, error="the dispatcher broke; its log says how")
        finally:
            self._world.flush()
        return answer

    # --- jobs ---------------------------------------------------------------------------------

    def _job(self, known: Known, request: Request) -> Answer:
        nonce = request.headers.get("idempotency-key") or secrets.token_hex(16)
        found = _decoded(request, nonce)
        burst, parent = Burst(self._world, self._worker), request.headers.get("traceparent", "")
        part = burst.part(nonce)
        jobs = [
            self._worker.accept(known.at.service, event, again=True, part=part, parent=parent)
            for event in found
        ]
        burst.go()
        burst.check(nonce)
        if not jobs:
            return _said(200, {"jobs": []})
        return _said(201, {"job": jobs[0], **({"jobs": jobs} if len(jobs) > 1 else {})})

    # --- runs ---------------------------------------------------------------------------------

    def _run(self, known: Known, request: Request) -> Answer:
        name = known.at.service
        if not known.at.function:
            return _said(409, error=f"service {name} has no function: start it as POST /job/{name}")
        number = request.id or secrets.token_hex(16)
        found = [NewJob(job_id(name, one), name, one) for one in _decoded(request, number)]
        spec = next(
            (n for n in known.at.targets if self._world.target(known, n) is self._world.lambdas), ""
        )
        now = self._world.clock()
        mine = [job for job in found if self._world.table.accept(job, now)]
        for job in mine:
            self._change(job, JobState.RUNNING, target=spec)
        try:
            reply = self._world.lambdas.run(name, _forwarded(request, number))
        except BridgeError as error:
            for job in mine:
                self._change(job, JobState.FAILED, reason=error.message)
            raise
        for job in mine:
            self._ended(job, reply)
        return _replied(reply, [job.id for job in found])

    def _ended(self, job: NewJob, reply: Reply) -> None:
        account, handle = self._world.account, reply.handle
        update = update_from_report(account, job.id, 1, handle, f"/aws/lambda/{job.service}")
        status = reply.value.get("statusCode") if isinstance(reply.value, dict) else None
        if update is not None:
            record = JobRecord(job.id, job.service, job.event, JobState.RUNNING, handle=handle)
            self._worker.learn(update, JobDetail(record))
        elif status == 200 and not reply.failed:
            self._change(job, JobState.SUCCEEDED, handle=handle)
        elif status != 202:
            self._change(job, JobState.FAILED, handle=handle, reason=_reason(reply))

    def _change(self, job: NewJob, state: JobState, **fields: Any) -> None:
        self._world.table.change(Change(job.id, 1, state, self._world.clock(), **fields))


def _decoded(request: Request, nonce: str) -> list[Event]:
    """The events of a body, as the function would decode them too."""
    return events.decode(_forwarded(request, nonce))


def _forwarded(request: Request, number: str) -> dict[str, Any]:
    """The request as API Gateway gives it to a function."""
    headers = {name: value for name, value in request.headers.items() if name not in _OURS}
    return {
        "httpMethod": "POST",
        "path": "/",
        "headers": headers,
        "queryStringParameters": dict(request.query) or None,
        "requestContext": {"requestId": number},
        "body": b64encode(request.body).decode(),
        "isBase64Encoded": True,
    }


def _replied(reply: Reply, jobs: list[str]) -> Answer:
    """The function's own reply: upstream's form, with the job's name beside it."""
    value = reply.value if isinstance(reply.value, dict) else {}
    named = {"X-Oscar-Bridge-Job": jobs[0]} if jobs else {}
    if reply.failed or not isinstance(value.get("statusCode"), int):
        answer = _said(502, error=_reason(reply))
        return Answer(answer.status, answer.body, {**answer.headers, **named})
    headers = {str(name): str(one) for name, one in (value.get("headers") or {}).items()}
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "text/plain"
    return Answer(value["statusCode"], str(value.get("body") or ""), {**headers, **named})


def _reason(reply: Reply) -> str:
    value = reply.value if isinstance(reply.value, dict) else {}
    said = value.get("errorMessage") or value.get("body")
    return str(said or "the function gave no reason")[:4000]


def _shown(detail: JobDetail) -> dict[str, Any]:
    """A job as JSON, without its data."""
    job = detail.job
    names = ("service", "target", "attempt", "handle", "accepted", "placed", "submitted")
    more = ("started", "ended", "exit_code", "reason", "log")
    return {
        "job": job.id,
        "state": str(job.state),
        **{name: getattr(job, name) for name in (*names, *more)},
        "input": {"provider": job.event.provider, "bucket": job.event.bucket, "key": job.event.key}
        if job.event.is_storage
        else None,
        "outputs": [_output(one) for one in detail.outputs],
        "decision": detail.decisions[-1].get("reason", "") if detail.decisions else "",
    }


def _output(output: Output) -> dict[str, Any]:
    return {"provider": output.provider, "bucket": output.bucket, "key": output.key}


def _said(status: int, value: Mapping[str, Any] | None = None, *, error: str = "") -> Answer:
    return Answer(status, json.dumps({"error": error} if error else value))


def _unauthorised() -> Answer:
    answer = _said(401, error="give the service's token as `Authorization: Bearer <token>`")
    return Answer(answer.status, answer.body, {**answer.headers, "WWW-Authenticate": "Bearer"})


def _failed(error: BridgeError) -> Answer:
    """Our errors as HTTP statuses."""
    LOG.warning("a request failed: %s", error.message)
    if isinstance(error, EventError):
        return _said(400, error=error.message)
    if isinstance(error, NotFoundError):
        return _said(404, error=error.message)
    if isinstance(error, TemporaryError):
        answer = _said(503, error=error.message)
        headers = {**answer.headers, "Retry-After": str(max(1, round(error.delay)))}
        return Answer(answer.status, answer.body, headers)
    return _said(500, error=error.message)
