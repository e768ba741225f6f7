"""Capacity is read now and then, never per job; what may not be seen is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bridge.errors import AccessError, NotFoundError, TargetUnavailable
from bridge.fdl.model import TargetSpec
from bridge.scheduler import Machines, TargetState, offer
from bridge.targets.kubernetes import ClusterSettings
from bridge.targets.kubernetes._capacity import ClusterCapacity
from bridge.targets.kubernetes.resources import NODES, PODS, RESOURCE_QUOTAS, Resource
from tests.targets.kubernetes.test_room import node, pod, quota, service

KNOWN = TargetState(TargetSpec("home", "kubernetes"), running=3, queued=1)
SERVICES = (service(),)


class Objects:
    """A connection whose objects are given; counts what is asked of it."""

    name = "home"

    def __init__(self, **objects: list[dict[str, Any]]) -> None:
        self.settings = ClusterSettings(capacity_age=10.0)
        self.objects = objects
        self.asked: Counter[str] = Counter()
        self.broken: dict[str, Exception] = {}

    def pages(self, resource: Resource, **_: Any) -> Iterator[tuple[list[dict[str, Any]], str]]:
        for one in self.find_all(resource):
            yield [one], "1"

    def find_all(self, resource: Resource, **_: Any) -> list[dict[str, Any]]:
        self.asked[resource.plural] += 1
        if error := self.broken.get(resource.plural):
            raise error
        return self.objects.get(resource.plural, [])

    def get(self, resource: Resource, name: str, **_: Any) -> dict[str, Any]:
        raise NotFoundError(f"no {resource} {name}")

    def raw(self, path: str) -> dict[str, Any]:
        self.asked[path] += 1
        raise NotFoundError(path)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def objects() -> Objects:
    bound = quota({"pods": "3"}, {"pods": "1"})
    return Objects(nodes=[node("n1")], pods=[pod("n1", "3")], resourcequotas=[bound])


def test_a_burst_of_jobs_asks_nothing(objects: Objects) -> None:
    clock = Clock()
    capacity = ClusterCapacity(objects, clock=clock)  # type: ignore[arg-type]
    capacity.refresh()
    for _ in range(1000):
        state = capacity.state(KNOWN, SERVICES)
    assert set(objects.asked.values()) == {1}
    assert (state.running, state.queued, state.age) == (3, 1, 0.0)
    assert (state.room["resize"].now, state.room["resize"].ever) == (1, 3)
    assert state.machines == Machines(1, 4.0, 8 * 2**30, 1.0, 7 * 2**30)


def test_it_is_read_anew_when_it_is_old_and_somebody_asks(objects: Objects) -> None:
    clock = Clock()
    capacity = ClusterCapacity(objects, clock=clock)  # type: ignore[arg-type]
    capacity.refresh()
    objects.objects["pods"] = []
    clock.now = 9.0
    assert capacity.state(KNOWN, SERVICES).age == 9.0
    capacity.close()
    assert objects.asked["nodes"] == 1
    clock.now = 11.0
    capacity.state(KNOWN, SERVICES)
    capacity.close()
    state = capacity.state(KNOWN, SERVICES)
    assert objects.asked["nodes"] == 2
    assert (state.age, state.room["resize"].now) == (0.0, 2)


def test_a_cluster_that_does_not_answer_is_known_as_it_was(objects: Objects) -> None:
    clock = Clock()
    capacity = ClusterCapacity(objects, clock=clock)  # type: ignore[arg-type]
    capacity.refresh()
    objects.broken[PODS.plural] = TargetUnavailable("no answer")
    for clock.now in (20.0, 40.0):
        capacity.state(KNOWN, SERVICES)
        capacity.close()
    state = capacity.state(KNOWN, SERVICES)
    assert (state.age, state.room["resize"].now) == (40.0, 1)
    with pytest.raises(TargetUnavailable):
        capacity.refresh()


def test_what_may_not_be_seen_is_left_out(objects: Objects) -> None:
    objects.broken[NODES.plural] = AccessError("no right")
    capacity = ClusterCapacity(objects)  # type: ignore[arg-type]
    capacity.refresh()
    assert capacity.state(KNOWN, SERVICES).room["resize"].now == 2
    objects.broken[RESOURCE_QUOTAS.plural] = AccessError("no right")
    capacity.refresh()
    assert capacity.state(KNOWN, SERVICES).room == {}


@pytest.mark.parametrize(
    ("names", "prefetched", "share", "seconds"),
    [
        ((["docker.io/library/tool:1"], ["tool:1"]), False, 1.0, 0.0),
        ((["docker.io/library/tool:1"], ["tool:2"]), False, 0.5, 32.0),
        ((["other:1"], ["tool:2"]), False, 0.0, 40.0),  # nobody knows how large: 500 MB
        ((["tool:1"], ["x"] * 50), False, 1.0, 0.0),  # the other names no more than 50
        ((["other:1"], ["x"] * 50), True, 0.5, 20.0),
    ],
)
def test_an_image_that_nodes_lack_makes_a_start_longer(
    names: tuple[list[str], list[str]], prefetched: bool, share: float, seconds: float
) -> None:
    nodes = [node("n1"), node("n2"), node("out", ready="False")]
    for one, has in zip(nodes, names, strict=False):
        one["status"]["images"] = [{"names": [each], "sizeBytes": 800_000_000} for each in has]
    nodes[2]["status"]["images"] = [{"names": ["other:1"], "sizeBytes": 1}]
    capacity = ClusterCapacity(Objects(nodes=nodes))  # type: ignore[arg-type]
    capacity.refresh()
    of = service(options={"image_prefetch": prefetched})
    state = capacity.state(KNOWN, (of,))
    assert state.image["resize"].present == share
    plain = offer(of, None, replace(state, image={}))
    assert offer(of, None, state).start == pytest.approx(plain.start + seconds)


def test_before_the_first_reading_nothing_is_known(objects: Objects) -> None:
    objects.broken[NODES.plural] = TargetUnavailable("no answer")
    capacity = ClusterCapacity(objects)  # type: ignore[arg-type]
    assert capacity.state(KNOWN, SERVICES) is KNOWN
    capacity.close()
    assert capacity.state(KNOWN, SERVICES) is KNOWN
