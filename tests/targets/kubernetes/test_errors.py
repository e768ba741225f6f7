"""What the API server's answers mean as errors of ours."""

from __future__ import annotations

import json

import pytest

from bridge.errors import (
    AccessError,
    BridgeError,
    NotFoundError,
    PermanentError,
    TargetUnavailable,
    TemporaryError,
)
from bridge.targets.kubernetes._errors import AlreadyThere, Call, Gone, Stranger, error_of

CALL = Call("create", "jobs.batch", "mine", "oscar-svc", "one")
QUOTA = "exceeded quota: few, requested: {}, used: {}, limited: {}"


@pytest.mark.parametrize(
    ("status", "reason", "message", "kind", "words"),
    [
        (401, "Unauthorized", "Unauthorized", Stranger, "does not know who asks"),
        (
            403,
            "Forbidden",
            'jobs.batch is forbidden: User "x" cannot create resource "jobs" in API group "batch"',
            AccessError,
            "may not create jobs.batch one in namespace oscar-svc of cluster mine",
        ),
        (
            403,
            "Forbidden",
            "unable to create new content in namespace x because it is being terminated",
            NotFoundError,
            "the namespace is being deleted",
        ),
        (403, "Forbidden", "violates PodSecurity", PermanentError, "rules refuse it"),
        (
            403,
            "Forbidden",
            QUOTA.format("cpu=500m,memory=1Gi", "cpu=800m,memory=1Gi", "cpu=1,memory=10Gi"),
            TargetUnavailable,
            "quota few is exceeded",
        ),
        (
            403,
            "Forbidden",
            QUOTA.format("cpu=2", "cpu=0", "cpu=1500m"),
            PermanentError,
            "quota few is exceeded (requested cpu=2; used cpu=0; limit cpu=1500m)",
        ),
        (404, "NotFound", 'namespaces "oscar-svc" not found', NotFoundError, "no such namespace"),
        (404, "", "404 page not found", NotFoundError, "does not know jobs.batch"),
        (409, "AlreadyExists", "it exists", AlreadyThere, "it exists already"),
        (409, "Conflict", "the object has been modified", TemporaryError, "somebody else"),
        (410, "Expired", "too old resource version", Gone, "too old"),
        (422, "Invalid", "spec.x: Invalid value", PermanentError, "spec.x: Invalid value [422]"),
        (429, "TooManyRequests", "slow down", TargetUnavailable, "slow down [429]"),
        (500, "InternalError", "etcdserver: timeout", TargetUnavailable, "etcdserver"),
    ],
)
def test_every_answer_has_its_error(
    status: int, reason: str, message: str, kind: type[BridgeError], words: str
) -> None:
    error = error_of(CALL, status, json.dumps({"reason": reason, "message": message}).encode())
    assert type(error) is kind
    assert words in error.message


def test_an_answer_that_is_no_status_is_told_as_it_is() -> None:
    error = error_of(CALL, 502, b"<html>bad gateway", "7")
    assert isinstance(error, TargetUnavailable)
    assert error.delay == 7.0
    assert "<html>bad gateway [502]" in error.message
