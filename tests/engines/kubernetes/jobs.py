"""Small services and jobs without storage, and waiting for what becomes of them."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from bridge.events import decode, job_id
from bridge.fdl.model import Resources, Service, TargetSpec
from bridge.targets import Job, JobUpdate
from bridge.targets.kubernetes import ClusterSettings, Connection, KubernetesTarget
from bridge.targets.kubernetes.resources import JOBS, PODS
from tests.waiting import eventually

IMAGE = "oscar-bridge/busybox:local"
MIB = 2**20


def service(script: str = "echo done\n", **changes: Any) -> Service:
    """A service of few resources with a name of its own."""
    made = Service(
        name=f"small-{secrets.token_hex(4)}",
        origin="bridge",
        image=IMAGE,
        resources=Resources(cpu=Decimal("0.05"), memory=32 * MIB),
        script="script.sh",
        script_text=script,
        timeout=60.0,
    )
    return replace(made, **changes)


def job(of: Service, data: bytes = b"data", attempt: int = 1) -> Job:
    """A new job with an event of its own."""
    (event,) = decode(data, nonce=secrets.token_hex(8))
    return Job(job_id(of.name, event), of.name, event, attempt)


@contextlib.contextmanager
def target(namespace: str, runtime_image: str, **settings: Any) -> Iterator[KubernetesTarget]:
    """A target in a namespace, closed at the end."""
    made = ClusterSettings(namespace=namespace, runtime_image=runtime_image, **settings)
    found = KubernetesTarget(TargetSpec("my-k8s", "kubernetes"), Connection(made), {})
    try:
        yield found
    finally:
        found.close()


def until(condition: Callable[[], bool], what: str, within: float = 90.0) -> None:
    """Wait for a condition."""
    eventually(condition, within, known=lambda: what)


def ends(of: KubernetesTarget, jobs: Iterable[Job], within: float = 120.0) -> dict[str, JobUpdate]:
    """The last news of all these jobs."""
    wanted = {one.id for one in jobs}
    found: dict[str, JobUpdate] = {}

    def all_over() -> bool:
        news = [one for one in of.poll() if one.state.final and one.job in wanted]
        found.update({one.job: one for one in news})
        return wanted == found.keys()

    until(all_over, "the end of all jobs", within)
    return found


def end(of: KubernetesTarget, one: Job) -> JobUpdate:
    """The last news of a job."""
    return ends(of, [one])[one.id]


def objects(connection: Connection, of: Service) -> Mapping[str, list[str]]:
    """Names of the Jobs and pods of a service."""
    labels = f"oscar_service={of.name}"
    return {
        resource.kind: [
            one["metadata"]["name"]
            for one in connection.find_all(resource, labels=labels)
            if not one["metadata"].get("deletionTimestamp")
        ]
        for resource in (JOBS, PODS)
    }
