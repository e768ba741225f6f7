"""Capacity and image prefetch on a real cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from kubernetes import client, config

from bridge.errors import PermanentError, TargetUnavailable
from bridge.fdl.model import Resources, Service, TargetSpec
from bridge.fdl.options import OscarOptions
from bridge.scheduler import Offer, TargetState, offer
from bridge.targets.kubernetes import Connection, KubernetesTarget
from bridge.targets.kubernetes._capacity import ClusterCapacity
from bridge.targets.kubernetes._prefetch import prefetch
from bridge.targets.kubernetes.resources import DAEMON_SETS, NODES, PODS, Resource
from tests.waiting import eventually

pytestmark = pytest.mark.kubernetes
MIB = 2**20
QUEUES = ("kueue.x-k8s.io/v1beta1", "LocalQueue", "localqueues")
SPEC = TargetSpec("home", "kubernetes")
SMALL = Service(
    "small",
    "bridge",
    "oscar-bridge/busybox:local",
    Resources(Decimal("0.1"), 64 * MIB),
    options=OscarOptions(image_prefetch=True),
)


def sized(cpu: str, memory: int = 64 * MIB) -> Service:
    return replace(SMALL, resources=Resources(Decimal(cpu), memory))


@pytest.fixture
def here(cluster: Connection, namespace: str) -> Connection:
    """A connection whose namespace is this test's own."""
    return Connection(replace(cluster.settings, namespace=namespace))


def measured(connection: Connection, service: Service) -> Offer:
    capacity = ClusterCapacity(connection)
    capacity.refresh()
    return offer(service, None, capacity.state(TargetState(SPEC), (service,)))


def holder(name: str, namespace: str, cpu: str) -> dict[str, Any]:
    """A pod that asks for cores and does nothing."""
    container = {
        "name": "c",
        "image": SMALL.image,
        "command": ["sleep", "600"],
        "resources": {"requests": {"cpu": cpu}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


def phase(connection: Connection, name: str, wanted: str) -> Callable[[], bool]:
    return lambda: connection.get(PODS, name)["status"].get("phase") == wanted


def test_what_pods_hold_is_taken(here: Connection, namespace: str) -> None:
    (node,) = here.find_all(NODES)
    cores = Decimal(node["status"]["allocatable"]["cpu"])
    assert measured(here, sized("0.05")).feasible
    here.create(holder("held", namespace, "0.5"))
    assert eventually(phase(here, "held", "Running"))
    here.create(holder("waits", namespace, str(cores)))
    capacity = ClusterCapacity(here)
    capacity.refresh()
    whole = sized(str(cores))
    room = capacity.state(TargetState(SPEC), (whole,)).room["small"]
    assert (room.now, room.ever) == (0, 1)
    assert room.ahead >= 1
    assert room.why.startswith(f"no node has {cores} CPU free: the most is ")
    full = measured(here, whole)
    assert full.feasible and full.wait > 0
    never = measured(here, sized(str(cores + 1)))
    name = node["metadata"]["name"]
    assert [r.sentence for r in never.reasons] == [
        f"no node has {cores + 1} CPU: the most is {cores} CPU on {name}"
    ]


def test_a_quota_is_seen_before_anything_is_submitted(here: Connection, namespace: str) -> None:
    facts = {"name": "tight", "namespace": namespace}
    hard = {"requests.memory": "96Mi", "pods": "2"}
    here.create(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": facts, "spec": {"hard": hard}}
    )
    assert measured(here, SMALL).feasible
    refused = measured(here, sized("0.1", 128 * MIB))
    assert [r.sentence for r in refused.reasons] == [
        "quota 'tight' allows 96 MiB of memory (a job asks for 128 MiB of memory)"
    ]


def definition(plural: str, kind: str, scope: str) -> dict[str, Any]:
    """A kind of Kueue's, with no schema: only its objects are read here."""
    names = {"plural": plural, "kind": kind}
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1beta1", "served": True, "storage": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.kueue.x-k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
        },
        "spec": {
            "group": "kueue.x-k8s.io",
            "scope": scope,
            "names": names,
            "versions": [{**version, "schema": {"openAPIV3Schema": free}}],
        },
    }


@pytest.fixture
def kueue(cluster: Connection, namespace: str) -> Iterator[None]:
    """Kueue's kinds, and a queue of two cores that has given one away."""
    config.load_kube_config()
    kinds, objects = client.ApiextensionsV1Api(), client.CustomObjectsApi()
    made = [
        definition("clusterqueues", "ClusterQueue", "Cluster"),
        definition("localqueues", "LocalQueue", "Namespaced"),
    ]
    place = ("kueue.x-k8s.io", "v1beta1")
    cpu = {"name": "cpu", "nominalQuota": "2"}
    groups = [{"flavors": [{"name": "default", "resources": [cpu]}]}]
    reserved = [{"name": "default", "resources": [{"name": "cpu", "total": "1"}]}]
    facts = {"apiVersion": "kueue.x-k8s.io/v1beta1", "metadata": {"name": namespace}}
    whole = {"kind": "ClusterQueue", "spec": {"resourceGroups": groups}}
    local = {"kind": "LocalQueue", "spec": {"clusterQueue": namespace}}
    for one in made:
        kinds.create_custom_resource_definition(one)
    try:
        assert eventually(lambda: cluster.serves(Resource(*QUEUES)))
        status = {"status": {"flavorsReservation": reserved}}
        objects.create_cluster_custom_object(*place, "clusterqueues", facts | whole | status)
        objects.create_namespaced_custom_object(*place, namespace, "localqueues", facts | local)
        yield
    finally:
        for one in made:
            kinds.delete_custom_resource_definition(one["metadata"]["name"])


def test_a_queue_of_kueue_is_seen(here: Connection, namespace: str, kueue: None) -> None:
    labels = {"kueue.x-k8s.io/queue-name": namespace}
    inside = replace(sized("1.5"), options=OscarOptions(labels=labels))
    capacity = ClusterCapacity(here)
    capacity.refresh()
    room = capacity.state(TargetState(SPEC), (inside,)).room["small"]
    assert (room.now, room.ever) == (0, 1)
    said = f"the Kueue queue '{namespace}' leaves 1 CPU (a job asks for 1.5 CPU)"
    assert said in room.why


def gone(connection: Connection) -> bool:
    return not connection.find_all(DAEMON_SETS) and not connection.find_all(PODS)


def test_an_image_is_brought_to_every_node_and_nothing_stays(here: Connection) -> None:
    seen: list[dict[str, Any]] = []

    def pause(_: float) -> None:
        assert eventually(lambda: bool(here.find_all(PODS)))
        seen[:] = here.find_all(DAEMON_SETS)

    prefetch(here, [SMALL], pause=pause)
    assert [one["metadata"]["name"] for one in seen] == ["image-puller-small"]
    assert eventually(lambda: gone(here))


def test_deploying_says_that_an_image_cannot_be_pulled_and_nothing_stays(here: Connection) -> None:
    lost = replace(SMALL, image="127.0.0.1:1/never/built:none")
    target = KubernetesTarget(SPEC, here, {})
    with pytest.raises(PermanentError) as caught:
        target.deploy([lost])
    assert "image 127.0.0.1:1/never/built:none of small cannot be pulled on" in str(caught.value)
    assert "ImagePullBackOff" in str(caught.value)
    assert eventually(lambda: gone(here))


def test_the_time_limit_names_what_is_missing(here: Connection) -> None:
    with pytest.raises(TargetUnavailable, match=r"is not on .+ after 0 s"):
        prefetch(here, [replace(SMALL, image="127.0.0.1:1/a:b")], timeout=0)
    assert eventually(lambda: gone(here))


def test_nowhere_to_go_is_nothing_to_wait_for(cluster: Connection, namespace: str) -> None:
    settings = replace(cluster.settings, namespace=namespace, node_selector={"no": "such"})
    prefetch(Connection(settings), [SMALL], timeout=30)
