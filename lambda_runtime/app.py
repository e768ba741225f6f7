"""The dispatcher as a Chalice app: the handlers that AWS calls.

`lambda_runtime.app.events`, `.states` and `.reconcile` are handlers of functions of their own,
`lambda_runtime.app.app` is that of the HTTP API. All are given the environment that
`lambda_runtime.dispatcher.Environment` reads. `chalice local` serves the HTTP API from this folder.
"""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from chalice.app import Chalice, Response

if TYPE_CHECKING:
    from lambda_runtime.dispatcher import Answer, Dispatcher, Request

__all__ = ["app", "dispatcher", "events", "reconcile", "states"]

app = Chalice(app_name="oscar-bridge", configure_logs=False)
logging.getLogger("oscar-bridge").setLevel(os.environ.get("LOG_LEVEL", "INFO").upper())

# What a service takes is the service's affair.
_ANY = ["*/*"]


@cache
def dispatcher() -> Dispatcher:
    """Made at the first call, so that importing this is cheap and needs no environment."""
    from lambda_runtime.dispatcher import Dispatcher, Environment, World  # noqa: PLC0415

    return Dispatcher(World(Environment.read(os.environ)))


@app.lambda_function(name="events")
def events(event: Any, context: Any) -> Any:
    """Objects that were made in buckets: messages of the events queue, or S3's own events."""
    return dispatcher().events(event)


@app.lambda_function(name="states")
def states(event: Any, context: Any) -> Any:
    """News of jobs: messages of the states queue, or what EventBridge and Lambda send directly."""
    return dispatcher().states(event)


@app.lambda_function(name="reconcile")
def reconcile(event: Any, context: Any) -> Any:
    """On a schedule: jobs of which nothing was heard for a while, or that wait for too long."""
    if isinstance(event, dict) and event.get("look") == "waiting":
        return dispatcher().waiting()
    return dispatcher().reconcile(context.get_remaining_time_in_millis() / 1000)


@app.route("/run/{service}", methods=["POST"], content_types=_ANY)
def run(service: str) -> Response:
    """Run a service and wait: the answer is the function's."""
    return _response(dispatcher().web.run(service, _request()))


@app.route("/job/{service}", methods=["POST"], content_types=_ANY)
def job(service: str) -> Response:
    """Start a job: 201 with its name."""
    return _response(dispatcher().web.job(service, _request()))


@app.route("/jobs/{job_id}", methods=["GET"], content_types=_ANY)
def jobs(job_id: str) -> Response:
    """What became of a job."""
    return _response(dispatcher().web.look(job_id, _request()))


def _request() -> Request:
    from lambda_runtime.dispatcher import Request  # noqa: PLC0415

    asked: Any = app.current_request
    return Request(
        body=asked.raw_body or b"",
        headers={str(name).lower(): str(value) for name, value in asked.headers.items()},
        query=dict(asked.query_params or {}),
        id=str(asked.context.get("requestId") or ""),
    )


def _response(answer: Answer) -> Response:
    return Response(body=answer.body, status_code=answer.status, headers=dict(answer.headers))
