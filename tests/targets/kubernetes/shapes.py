"""Services and pods, as the tests here need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from bridge.events import decode
from bridge.fdl.model import Resources, Service
from bridge.targets import Job

MIB = 2**20


def service(**changes: Any) -> Service:
    """A service with a script."""
    made = Service(
        name="plain",
        origin="bridge",
        image="docker://example.org/image:1",
        resources=Resources(cpu=Decimal("0.5"), memory=256 * MIB),
        script_text="echo\n",
    )
    return replace(made, **changes)


def job(data: bytes = b"data", name: str = "plain-1", attempt: int = 1) -> Job:
    """A job with this data."""
    (event,) = decode(data, nonce="n")
    return Job(name, "plain", event, attempt)


def pod(
    phase: str = "Pending",
    main: Mapping[str, Any] | None = None,
    init: Mapping[str, Any] | None = None,
    *,
    uid: str = "u1",
    leaving: bool = False,
    **status: Any,
) -> dict[str, Any]:
    """A pod of Job `plain-1`; `main` and `init` are the states of its two containers."""
    facts: dict[str, Any] = {
        "name": "plain-1-x",
        "namespace": "here",
        "uid": uid,
        "labels": {"job-name": "plain-1"},
    }
    found: dict[str, Any] = {"phase": phase, **status}
    if leaving:
        facts["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    if main is not None:
        image = "example.org/image:1"
        found["containerStatuses"] = [{"name": "oscar-container", "image": image, "state": main}]
    if init is not None:
        image = "example.org/runtime:1"
        found["initContainerStatuses"] = [{"name": "bridge-runtime", "image": image, "state": init}]
    limits = {"limits": {"memory": "256Mi"}}
    spec = {
        "activeDeadlineSeconds": 90,
        "containers": [{"name": "oscar-container", "resources": limits}],
    }
    return {"metadata": facts, "spec": spec, "status": found}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """The state of a container that waits."""
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    """The state of a container that has ended."""
    times = {"startedAt": "2026-01-01T00:00:01Z", "finishedAt": "2026-01-01T00:00:02Z"}
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, **times}}
