"""`/system/status`: room and jobs, as OSCAR's other clusters read them before they delegate."""

from __future__ import annotations

from typing import Any, Final

from bridge.fdl.model import TargetSpec
from bridge.targets import JobState
from manager.auth import Caller
from manager.calls import rfc3339
from manager.core import Manager

__all__ = ["PHASES", "status"]

PHASES: Final = {
    JobState.ACCEPTED: "Suspended",
    JobState.PLACED: "Suspended",
    JobState.SUBMITTED: "Pending",
    JobState.RUNNING: "Running",
    JobState.SUCCEEDED: "Succeeded",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Failed",
    JobState.DEAD: "Failed",
}
"""What OSCAR calls the states of a job: the phase of its pod, Suspended while there is none."""

_PODS: Final = ("Pending", "Running", "Succeeded", "Failed", "Unknown")


def status(manager: Manager, caller: Caller) -> dict[str, Any]:
    """The JSON object. Jobs and buckets are only counted for the administrator."""
    own = [spec for spec in manager.specs if spec.kind not in ("lambda", "batch")]
    jobs = _jobs(manager) if caller.admin else {}
    oidc = manager.settings.oidc
    return {
        "cluster": {
            "nodes_count": len(own),
            "metrics": _metrics(own),
            "nodes": [_node(spec) for spec in own],
        },
        "oscar": {
            "deployment_name": manager.settings.name,
            "ready": manager.ready,
            "deployment": {
                "available_replicas": 1,
                "ready_replicas": int(manager.ready),
                "replicas": 1,
                "creation_timestamp": rfc3339(manager.calls.began),
                "strategy": "Recreate",
                "labels": {},
            },
            "jobs_count": sum(jobs.values()),
            "pods": {"total": sum(jobs.values()), "states": jobs},
            "oidc": {
                "enabled": oidc is not None,
                "issuers": list(oidc.issuers) if oidc else [],
                "groups": list(oidc.groups) if oidc else [],
            },
        },
        "minio": {
            "buckets_count": len(manager.parts.buckets.buckets()) if caller.admin else 0,
            "total_objects": 0,
        },
    }


def _metrics(specs: list[TargetSpec]) -> dict[str, Any]:
    cores = [int((spec.cpu or 0) * 1000) for spec in specs]
    memory = [spec.memory or 0 for spec in specs]
    return {
        "cpu": {
            "total_free_cores": sum(cores),
            "max_free_on_node_cores": max(cores, default=0),
            "total_schedulable_cores": sum(cores),
            "total_schedulable_on_node_cores": max(cores, default=0),
        },
        "memory": {
            "total_free_bytes": sum(memory),
            "max_free_on_node_bytes": max(memory, default=0),
            "total_schedulable_bytes": sum(memory),
            "max_schedulable_on_node_bytes": max(memory, default=0),
        },
        "gpu": {"total_gpu": sum(spec.gpu for spec in specs)},
    }


def _node(spec: TargetSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "cpu": {"capacity_cores": int(spec.cpu * 1000)} if spec.cpu else {},
        "memory": {"capacity_bytes": spec.memory} if spec.memory else {},
        "gpu": spec.gpu,
        "is_interlink": False,
        "status": "Ready",
        "conditions": [{"type": "Ready", "status": True}],
    }


def _jobs(manager: Manager) -> dict[str, int]:
    counts = dict.fromkeys(_PODS, 0)
    for (_, state), count in manager.parts.jobs.counts().items():
        phase = PHASES[state]
        counts[phase if phase in counts else "Pending"] += count
    return counts
