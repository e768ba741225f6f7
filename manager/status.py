"""`/system/status`: room and jobs, as OSCAR's other clusters read them before they delegate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bridge.fdl.model import TargetSpec
from bridge.targets import JobState
from bridge.targets.kubernetes import Node
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

_GPU: Final = "nvidia.com/gpu"
_PODS: Final = ("Pending", "Running", "Succeeded", "Failed", "Unknown")


def status(manager: Manager, caller: Caller) -> dict[str, Any]:
    """The JSON object. Jobs and buckets are only counted for the administrator."""
    machines = _machines(manager)
    jobs = _jobs(manager) if caller.admin else {}
    oidc = manager.settings.oidc
    return {
        "cluster": {
            "nodes_count": len(machines),
            "metrics": _metrics(machines),
            "nodes": [_node(one) for one in machines],
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


@dataclass(frozen=True, slots=True)
class _Machine:
    """Thousandths of cores and bytes, `free` of them what no pod has asked for."""

    name: str
    cores: int
    free_cores: int
    memory: int
    free_memory: int
    gpu: int
    ready: bool = True


def _machines(manager: Manager) -> list[_Machine]:
    """The nodes of the cluster; where there is none, each place that is no service of AWS."""
    if nodes := manager.parts.nodes():
        return [_machine(node) for node in nodes]
    return [_alone(spec) for spec in manager.specs if spec.kind not in ("lambda", "batch")]


def _machine(node: Node) -> _Machine:
    total, free = node.total, node.free
    return _Machine(
        node.name,
        int(total.get("cpu", 0) * 1000),
        max(0, int(free.get("cpu", 0) * 1000)),
        int(total.get("memory", 0)),
        max(0, int(free.get("memory", 0))),
        int(total.get(_GPU, 0)),
        ready=not node.out,
    )


def _alone(spec: TargetSpec) -> _Machine:
    cores, memory = int((spec.cpu or 0) * 1000), spec.memory or 0
    return _Machine(spec.name, cores, cores, memory, memory, spec.gpu)


def _metrics(machines: list[_Machine]) -> dict[str, Any]:
    """What pods use is not measured: free is what they have not asked for."""
    cores = [one.free_cores for one in machines if one.ready]
    memory = [one.free_memory for one in machines if one.ready]
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
        "gpu": {"total_gpu": sum(one.gpu for one in machines)},
    }


def _node(one: _Machine) -> dict[str, Any]:
    cpu = {"capacity_cores": one.cores, "request_cores": one.cores - one.free_cores}
    memory = {"capacity_bytes": one.memory, "request_bytes": one.memory - one.free_memory}
    return {
        "name": one.name,
        "cpu": {key: value for key, value in cpu.items() if value},
        "memory": {key: value for key, value in memory.items() if value},
        "gpu": one.gpu,
        "is_interlink": False,
        "status": "Ready" if one.ready else "NotReady",
        "conditions": [{"type": "Ready", "status": one.ready}],
    }


def _jobs(manager: Manager) -> dict[str, int]:
    counts = dict.fromkeys(_PODS, 0)
    for (_, state), count in manager.parts.jobs.counts().items():
        phase = PHASES[state]
        counts[phase if phase in counts else "Pending"] += count
    return counts
