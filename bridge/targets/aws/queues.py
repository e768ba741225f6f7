"""The compute environment and job queue of Batch that all services of a platform share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from bridge.errors import PermanentError, TargetUnavailable
from bridge.fdl.model import Service
from bridge.fdl.options import ComputeResources
from bridge.targets.aws.account import Account, translated
from bridge.targets.aws.definitions import compute_resources

__all__ = ["ensure_queue", "queue_name"]

_READY_TRIES: Final = 600
_PAUSE: Final = 0.1


def queue_name(account: Account, platform: str) -> str:
    """What both are called."""
    return f"{account.settings.name}-{platform.lower()}"


def ensure_queue(
    account: Account, platform: str, services: Sequence[Service], usual: ComputeResources
) -> None:
    """Make what is absent, with the machines that the services ask for, else the `usual` ones; both
    can be used when it returns. PermanentError for machines that cannot be."""
    client, name = account.client("batch"), queue_name(account, platform)
    with translated(f"compute environment {name}"):
        found = client.describe_compute_environments(computeEnvironments=[name])
        if not found["computeEnvironments"]:
            client.create_compute_environment(
                computeEnvironmentName=name,
                type="MANAGED",
                state="ENABLED",
                computeResources=compute_resources(platform, services, usual),
            )
    _wait(account, "compute_environment", name)
    with translated(f"job queue {name}"):
        found = client.describe_job_queues(jobQueues=[name])
        if not found["jobQueues"]:
            order = [{"order": 1, "computeEnvironment": name}]
            client.create_job_queue(
                jobQueueName=name, state="ENABLED", priority=1, computeEnvironmentOrder=order
            )
    _wait(account, "job_queue", name)


def _wait(account: Account, kind: str, name: str) -> None:
    plural = {"compute_environment": "computeEnvironments", "job_queue": "jobQueues"}[kind]
    describe = getattr(account.client("batch"), f"describe_{kind}s")
    for _ in range(_READY_TRIES):
        with translated(f"{kind} {name}"):
            found = describe(**{plural: [name]})[plural]
        if found and found[0]["status"] == "VALID":
            return
        if found and found[0]["status"] == "INVALID":
            raise PermanentError(f"{kind} {name}: {found[0].get('statusReason')}")
        time.sleep(_PAUSE)
    raise TargetUnavailable(f"{kind} {name} is still not ready")
