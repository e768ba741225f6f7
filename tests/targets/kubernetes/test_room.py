"""Objects of the API in, room for a service out; sentences for what is short."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from bridge.errors import PermanentError
from bridge.fdl.model import ProviderRef, Resources, Service, StoragePath, TargetSpec
from bridge.fdl.options import OscarOptions
from bridge.scheduler import Room
from bridge.targets.kubernetes import ClusterSettings
from bridge.targets.kubernetes._queues import kueue_limits, yunikorn_limits
from bridge.targets.kubernetes._room import (
    Capacity,
    Tally,
    effective,
    nodes_of,
    quotas_of,
    room,
)
from bridge.targets.kubernetes.settings import Growth

GIB = 2**30


def service(cpu: str = "1", memory: int = GIB, **more: Any) -> Service:
    options = OscarOptions(**more.pop("options", {}))
    resources = Resources(Decimal(cpu), memory, more.pop("gpu", 0))
    return Service("resize", "bridge", "tool:1", resources, options=options, **more)


def node(name: str, cpu: str = "4", memory: str = "8Gi", **more: Any) -> dict[str, Any]:
    ready = more.pop("ready", "True")
    labels = {"kubernetes.io/arch": "amd64", **more.pop("labels", {})}
    has = {"cpu": cpu, "memory": memory, "pods": more.pop("pods", "110"), **more.pop("has", {})}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": more,
        "status": {"allocatable": has, "conditions": [{"type": "Ready", "status": ready}]},
    }


def pod(on: str = "", cpu: str = "1", memory: str = "1Gi", **more: Any) -> dict[str, Any]:
    container = {"resources": {"requests": {"cpu": cpu, "memory": memory}}}
    place = {"nodeName": on} if on else {}
    return {
        "metadata": {"labels": more.get("labels")},
        "spec": {"containers": [container], **place},
        "status": {"phase": more.get("phase", "Running" if on else "Pending")},
    }


def capacity(
    *nodes: Mapping[str, Any],
    pods: tuple[Mapping[str, Any], ...] = (),
    selector: Mapping[str, str] | None = None,
    tolerations: tuple[Mapping[str, Any], ...] = (),
    **more: Any,
) -> Capacity:
    tally = Tally()
    tally.add(pods)
    found, others = nodes_of(nodes, tally.nodes, selector=selector or {}, tolerations=tolerations)
    return Capacity(found, others, count=len(nodes), pending=tally.pending, **more)


def quota(hard: Mapping[str, str], used: Mapping[str, str], **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "x"},
        "spec": {"hard": hard, **spec},
        "status": {"hard": hard, "used": used},
    }


def test_jobs_fit_beside_live_pods_on_each_node_alone() -> None:
    pods = (pod("a", "2500m"), pod("b", "3"), pod("b", phase="Succeeded"), pod(cpu="9"))
    found = room(service(), capacity(node("a"), node("b"), pods=pods))
    assert found == Room(now=2, ever=8)


def test_pods_that_wait_are_ahead_where_nothing_is_free() -> None:
    pods = (pod("a", "4"), pod(cpu="1"), pod(cpu="9"))
    found = room(service(), capacity(node("a"), pods=pods))
    assert found is not None and (found.now, found.ahead) == (0, 2)


def test_a_pod_asks_for_its_containers_or_for_its_greediest_init_container() -> None:
    def one(cpu: str, **more: str) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "initContainers": [one("250m", restartPolicy="Always"), one("3")],
        "containers": [one("1"), one("500m"), {}],
        "overhead": {"cpu": "100m", "memory": "1Mi"},
    }
    assert effective(spec, "requests") == {"cpu": Decimal("3.35"), "memory": 2**20}
    spec["initContainers"] = [one("1")]
    assert effective(spec, "requests")["cpu"] == Decimal("1.6")


def test_what_is_full_is_said_with_the_most_that_there_is() -> None:
    full = capacity(node("n1"), node("n2"), pods=(pod("n1", "2.5"), pod("n2", "4", "1Gi")))
    found = room(service("4", 2 * GIB), full)
    assert found is not None
    assert (found.now, found.ever) == (0, 2)
    assert found.why == "no node has 4 CPU free: the most is 1.5 CPU on n1"
    apart = capacity(node("n1"), node("n2"), pods=(pod("n1", "4", "1"), pod("n2", "1m", "8Gi")))
    found = room(service("1", GIB), apart)
    assert found is not None
    assert found.why == "no node has 1 CPU and 1 GiB of memory free together"


@pytest.mark.parametrize(
    ("where", "asked", "why"),
    [
        (capacity(node("n1")), service("64"), "no node has 64 CPU: the most is 4 CPU on n1"),
        (
            capacity(node("n1")),
            service(memory=9 * GIB),
            "no node has 9 GiB of memory: the most is 8 GiB of memory on n1",
        ),
        (capacity(node("n1")), service(gpu=1), "no node has 1 GPU"),
        (capacity(), service(), "no node takes it: the cluster has none"),
        (capacity(node("n1")), service(arch="arm64"), "no node takes it: n1 is amd64"),
        (
            capacity(node("n1"), selector={"disk": "ssd"}),
            service(),
            "no node takes it: n1 has no label disk=ssd",
        ),
        (
            capacity(node("n1", taints=[{"key": "gpu", "value": "a", "effect": "NoSchedule"}])),
            service(),
            "no node takes it: n1 has the taint gpu=a:NoSchedule",
        ),
        (
            capacity(node("n1"), limits=tuple(quotas_of([quota({"memory": "512Mi"}, {})]))),
            service(),
            "quota 'x' allows 512 MiB of memory (a job asks for 1 GiB of memory)",
        ),
    ],
)
def test_what_can_never_run_is_said(where: Capacity, asked: Service, why: str) -> None:
    found = room(asked, where)
    assert found is not None
    assert (found.ever, found.more, found.why) == (0, 0, why)


def test_a_node_that_may_come_back_is_a_wait() -> None:
    sick = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}
    full = {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}
    nodes = (
        node("a", unschedulable=True),
        node("b", ready="False", taints=[sick]),
        node("c", taints=[full]),
    )
    found = room(service(), capacity(*nodes))
    assert found is not None
    assert (found.now, found.ever) == (0, 12)
    assert found.why == (
        "no node takes jobs now: a is cordoned, b is not ready, "
        "c has the taint node.kubernetes.io/disk-pressure"
    )


@pytest.mark.parametrize(
    ("toleration", "there"),
    [
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "value": "a", "effect": "NoSchedule"}, True),
        ({"key": "gpu", "value": "b"}, False),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_taints_and_tolerations(toleration: dict[str, str], there: bool) -> None:
    tainted = node("n", taints=[{"key": "gpu", "value": "a", "effect": "NoSchedule"}])
    found = room(service(), capacity(tainted, tolerations=(toleration,)))
    assert found is not None and bool(found.now) is there


def test_quotas_count_requests_limits_and_objects() -> None:
    def left(hard: Mapping[str, str], used: Mapping[str, str], **spec: Any) -> int:
        limits = tuple(quotas_of([quota(hard, used, **spec)]))
        found = room(service("0.5", GIB), capacity(node("n1", "16", "64Gi"), limits=limits))
        assert found is not None
        return found.now

    assert left({"requests.cpu": "4"}, {"requests.cpu": "1"}) == 6
    # The container that brings the runtime may take a whole core.
    assert left({"limits.cpu": "4"}, {"limits.cpu": "1"}) == 3
    assert (
        left({"pods": "10", "count/jobs.batch": "9"}, {"pods": "5", "count/jobs.batch": "6"}) == 3
    )
    assert left({"services": "1", "secrets": "1"}, {"secrets": "1"}) == 32
    assert left({"pods": "0"}, {}, scopes=["BestEffort"]) == 32
    assert left({"pods": "0"}, {}, scopes=["NotTerminating"]) == 0


def test_several_reasons_stand_together() -> None:
    limits = tuple(quotas_of([quota({"memory": "2Gi"}, {"memory": "1536Mi"})]))
    found = room(service("4", GIB), capacity(node("n1"), pods=(pod("n1", "2.5"),), limits=limits))
    assert found is not None
    assert found.why == (
        "no node has 4 CPU free: the most is 1.5 CPU on n1; "
        "quota 'x' leaves 512 MiB of memory (a job asks for 1 GiB of memory)"
    )


def test_an_autoscaler_adds_what_it_may() -> None:
    growth = Growth(max_nodes=3, node_cpu=Decimal(2), node_memory=4 * GIB, delay=90.0)
    found = room(service("2"), capacity(node("n1", "1"), growth=growth))
    assert found is not None
    assert (found.now, found.ever, found.more, found.delay) == (0, 0, 2, 90.0)
    assert room(service("2", gpu=1), capacity(node("n1"), growth=growth)).ever == 0  # type: ignore[union-attr]
    bound = tuple(quotas_of([quota({"pods": "1"}, {})]))
    found = room(service("2"), capacity(node("n1", "1"), growth=growth, limits=bound))
    assert found is not None and found.more == 1


def test_settings_of_the_autoscaler() -> None:
    def settings(**growth: Any) -> ClusterSettings:
        spec = TargetSpec("k", "kubernetes", settings={"autoscaler": growth, "capacity_age": 5})
        return ClusterSettings.of(spec)

    told = settings(max_nodes=4, node_cpu="500m", node_memory="2Gi", delay=60)
    assert told.autoscaler == Growth(4, Decimal("0.5"), 2 * GIB, 0, 60.0)
    assert told.capacity_age == 5.0
    with pytest.raises(PermanentError, match=r"settings.autoscaler has no nodes"):
        settings(nodes=4)
    with pytest.raises(PermanentError, match=r"settings.autoscaler must have node_cpu"):
        settings(max_nodes=4)
    with pytest.raises(PermanentError, match=r"'much' is not an amount of memory"):
        settings(max_nodes=4, node_cpu=1, node_memory="much")


def test_what_no_pod_can_have_is_a_refusal() -> None:
    mount = StoragePath(ProviderRef("minio"), "data")
    found = room(service(options={"mount": mount}), capacity(node("n1")))
    assert found is not None and found.ever == 0
    assert "a bucket is not mounted" in found.why


def test_behind_a_virtual_node_nothing_is_known() -> None:
    assert room(service(options={"interlink_node_name": "far"}), capacity(node("n1"))) is None
    assert room(service(), Capacity()) is None
    bound = tuple(quotas_of([quota({"pods": "2"}, {})]))
    found = room(service(), Capacity(limits=bound))
    assert found is not None and (found.now, found.ever) == (2, 2)


def cluster_queue(**more: Any) -> dict[str, Any]:
    resources = [{"name": "cpu", "nominalQuota": "6"}, {"name": "memory", "nominalQuota": "64Gi"}]
    used = [{"name": "cpu", "total": "5"}, {"name": "memory", "total": "1Gi"}]
    groups = [{"flavors": [{"name": "default", "resources": resources}]}]
    return {
        "metadata": {"name": "whole"},
        "spec": {"resourceGroups": groups, **more},
        "status": {"flavorsReservation": [{"name": "default", "resources": used}]},
    }


def test_a_queue_of_kueue_binds_the_services_in_it() -> None:
    local = {"metadata": {"name": "team"}, "spec": {"clusterQueue": "whole"}}
    limits = tuple(kueue_limits([local], [cluster_queue()]))
    inside = service("2", options={"labels": {"kueue.x-k8s.io/queue-name": "team"}})
    found = room(inside, capacity(node("n1", "16"), limits=limits))
    assert found is not None and (found.now, found.ever) == (0, 3)
    assert found.why == "the Kueue queue 'team' leaves 1 CPU (a job asks for 2 CPU)"
    assert room(service("2"), capacity(node("n1", "16"), limits=limits)) == Room(8, 8)
    assert kueue_limits([local], [cluster_queue(cohort="all")]) == []


YUNIKORN = """
partitions:
- name: default
  queues:
  - name: root
    queues:
    - name: oscar-queue
      resources: {max: {memory: 8Gi, vcore: 8}}
      queues:
      - name: resize
        resources: {max: {memory: 4Gi, vcore: 4000m}}
      - name: other
        resources: {max: {vcore: 1m}}
"""


def test_the_queues_of_yunikorn_are_in_one_another() -> None:
    tally = Tally(("queue",))
    tally.add([pod("n1", "1", labels={"queue": "root.oscar-queue.resize"})])
    tally.add([pod("n1", "5", labels={"queue": "root.oscar-queue.other"})])
    limits = tuple(yunikorn_limits(YUNIKORN, tally.labelled))
    found = room(service(), capacity(node("n1", "64", "64Gi"), limits=limits))
    assert found is not None
    assert (found.now, found.ever) == (2, 4)  # 3 in its own queue, 2 in the one above
    assert yunikorn_limits("{", {}) == yunikorn_limits("partitions: 3", {}) == []
