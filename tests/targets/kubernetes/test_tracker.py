"""What changes of pods mean for the jobs that are followed, and the watch that brings them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bridge.errors import AccessError, TargetUnavailable
from bridge.targets import JobState, JobUpdate
from bridge.targets.kubernetes._errors import Gone
from bridge.targets.kubernetes._patrol import do
from bridge.targets.kubernetes._tracker import Followed, Tracker
from bridge.targets.kubernetes._watch import PodWatch
from bridge.targets.kubernetes.resources import EVENTS, JOBS, PODS
from bridge.targets.news import News
from tests.engines.kubernetes.jobs import until
from tests.targets.kubernetes.shapes import ended, job, pod, waiting

RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
DONE = json.dumps({"job": "plain-1", "state": "succeeded", "exit_code": 0})
NO_ROOM = [{"type": "PodScheduled", "status": "False", "message": "Insufficient cpu"}]


@dataclass
class World:
    """A tracker with one job, a clock that is moved by hand, and a cluster that is written down."""

    now: float = 0.0
    news: News = field(default_factory=News)
    job: dict[str, Any] | None = field(default_factory=lambda: {"spec": {}})
    pods: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tracker = Tracker(self.news, 100.0, lambda: self.now)
        self.tracker.begin(job())

    def find(self, resource: object, name: str) -> dict[str, Any] | None:
        assert (resource, name) == (JOBS, "plain-1")
        return self.job

    def find_all(self, resource: object, **_: str) -> list[dict[str, Any]]:
        return {PODS: self.pods, EVENTS: self.events}[resource]  # type: ignore[index]

    def delete(self, resource: object, name: str) -> bool:
        self.deleted.append(name)
        self.job = None
        return True

    def patrol(self) -> None:
        for errand in self.tracker.errands():
            do(errand, self, self.tracker)  # type: ignore[arg-type]

    @property
    def last(self) -> JobUpdate:
        """The newest news; it is in no hurry to be forgotten."""
        (news,) = self.news.take()
        return news

    @property
    def one(self) -> Followed:
        found = self.tracker.get("plain-1")
        assert found is not None
        return found


@pytest.fixture
def world() -> World:
    return World()


def test_a_job_goes_its_way(world: World) -> None:
    world.tracker.changed(pod(), False)
    assert world.news.take() == []
    world.tracker.changed(pod("Running", main=RUNNING), False)
    assert (world.last.state, world.one.running) == (JobState.RUNNING, True)
    over = pod("Succeeded", main=ended(0, "Completed", DONE))
    world.tracker.changed(over, False)
    world.tracker.changed(over, True)
    assert world.last.state is JobState.SUCCEEDED
    assert world.last.state is JobState.SUCCEEDED
    world.tracker.drop("plain-1")
    world.tracker.changed(over, False)
    assert world.news.take() == []
    assert world.tracker.errands() == []


def test_patience_ends_and_no_sooner(world: World) -> None:
    world.tracker.changed(pod(conditions=NO_ROOM), False)
    assert world.last.reason == "no node has room for it: Insufficient cpu"
    world.now = 99.0
    world.patrol()
    assert world.deleted == []
    # Having found a node, it has its patience again for what comes then.
    world.tracker.changed(pod(main=waiting("ContainerCreating")), False)
    world.now = 150.0
    world.patrol()
    world.tracker.changed(pod(main=waiting("ErrImagePull", "no route")), False)
    world.tracker.changed(pod(main=waiting("ImagePullBackOff", "Back-off")), False)
    world.now = 260.0
    world.patrol()
    assert world.deleted == ["plain-1"]
    assert "no route (for 100 s)" in world.last.reason
    assert world.last.temporary


def test_what_is_hopeless_ends_at_once(world: World) -> None:
    world.tracker.changed(pod(main=waiting("ErrImagePull", "manifest unknown")), False)
    world.patrol()
    assert (world.deleted, world.last.temporary) == (["plain-1"], False)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_pod_that_the_cluster_deletes_takes_its_job_along(world: World, cancelled: bool) -> None:
    world.tracker.changed(pod("Running", main=RUNNING), False)
    world.one.cancelled = cancelled
    world.tracker.changed(pod("Running", main=RUNNING, leaving=True), False)
    world.patrol()
    # Our own cancel has deleted the Job already.
    assert world.deleted == ([] if cancelled else ["plain-1"])
    # The script may still be running: no other try before it has ended.
    assert not world.last.state.final if not cancelled else True
    world.tracker.changed(pod("Running", main=RUNNING, leaving=True), True)
    expected = JobState.CANCELLED if cancelled else JobState.FAILED
    assert (world.last.state, world.last.temporary) == (expected, not cancelled)


def test_the_end_of_a_pod_that_leaves_is_waited_for_whatever_comes_of_its_successor(
    world: World,
) -> None:
    world.tracker.changed(pod("Running", main=RUNNING), False)
    world.tracker.changed(pod("Running", main=RUNNING, leaving=True), False)
    # The cluster is faster than our patrol.
    world.tracker.changed(pod(uid="u2"), False)
    world.patrol()
    assert world.deleted == ["plain-1"]
    world.tracker.changed(pod(uid="u2", leaving=True), False)
    world.patrol()
    world.tracker.changed(pod(uid="u2", leaving=True), True)
    assert not world.last.state.final
    over = pod("Succeeded", main=ended(0, "Completed", DONE), leaving=True)
    world.tracker.changed(over, False)
    assert world.last.state is JobState.SUCCEEDED


def test_a_node_that_never_ends_its_pod_is_given_up(world: World) -> None:
    world.tracker.changed(pod("Running", main=RUNNING, leaving=True), False)
    world.patrol()
    world.now = 119.0
    world.patrol()
    assert not world.last.state.final
    world.now = 121.0
    world.patrol()
    assert world.last.reason == "its pod was deleted; its node does not end it"


@pytest.mark.parametrize(
    ("condition", "state", "words"),
    [
        ({"type": "Complete", "status": "True"}, JobState.SUCCEEDED, ""),
        ({"type": "Failed", "status": "True", "message": "m"}, JobState.FAILED, "its pod is gone"),
        ({}, JobState.FAILED, "its pod is gone"),
        (None, JobState.FAILED, "and so is its Job"),
    ],
)
def test_a_pod_that_is_gone_is_asked_of_its_job(
    world: World, condition: dict[str, str] | None, state: JobState, words: str
) -> None:
    world.tracker.changed(pod("Running", main=RUNNING), False)
    world.tracker.listed({"another"})
    world.job = None if condition is None else {"spec": {}, "status": {"conditions": [condition]}}
    world.patrol()
    assert world.last.state is state
    assert words in world.last.reason
    assert world.last.temporary is (state is JobState.FAILED)


def test_a_job_that_ended_unseen_is_read_from_its_pod(world: World) -> None:
    world.job = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    world.pods = [pod("Succeeded", main=ended(0, "Completed", DONE))]
    world.now = 61.0
    world.patrol()
    assert world.last.report["job"] == "plain-1"


def test_no_pod_for_long_is_told_with_the_clusters_warning(world: World) -> None:
    world.events = [{"type": "Warning", "reason": "FailedCreate", "message": "exceeded quota"}]
    world.now = 61.0
    world.patrol()
    assert world.news.take() == []
    world.now = 101.0
    world.patrol()
    assert world.last.reason == "its pod cannot start: FailedCreate: exceeded quota"
    assert world.deleted == ["plain-1"]


def test_a_pod_that_is_only_slow_is_waited_for(world: World) -> None:
    world.pods = [pod(main=waiting("ContainerCreating"))]
    world.tracker.changed(world.pods[0], False)
    world.now = 101.0
    world.patrol()
    assert world.deleted == []
    assert world.tracker.errands() == []


def test_a_job_in_a_queue_has_no_pod_and_is_waited_for(world: World) -> None:
    world.job = {"spec": {"suspend": True}}
    for world.now in (61.0, 130.0, 300.0):
        world.patrol()
    assert world.deleted == []
    assert "it waits for its queue" in world.last.reason


def test_a_higher_attempt_has_nothing_to_do_with_the_one_before(world: World) -> None:
    world.tracker.begin(replace(job(), attempt=2))
    world.tracker.changed(pod("Failed", main=ended(1)), False)
    assert world.news.take() == []
    assert world.one.name == "plain-1-2"


class Answers:
    """A connection that gives a watch what was written down for it."""

    name, namespace = "mine", "here"

    def __init__(self, *steps: Callable[[], Any]) -> None:
        self.steps = list(steps)
        self.asked: list[str] = []

    def pages(self, *_: object, **__: object) -> Iterator[tuple[list[dict[str, Any]], str]]:
        self.asked.append("list")
        yield from self.steps.pop(0)()

    def watch(self, _: object, version: str, **__: object) -> Any:
        self.asked.append(version)
        if not self.steps:
            raise TargetUnavailable("no more")
        return Lines(self.steps.pop(0)())


class Lines:
    """What `watch` answers: lines, and then its end."""

    def __init__(self, lines: list[Any]) -> None:
        self.lines = lines

    def __iter__(self) -> Iterator[bytes]:
        for line in self.lines:
            if isinstance(line, Exception):
                raise line
            yield line

    def close(self) -> None:
        """Nothing is open."""


def change(kind: str, uid: str, version: str) -> bytes:
    found = pod(uid=uid)
    found["metadata"]["resourceVersion"] = version
    return json.dumps({"type": kind, "object": found}).encode()


def refused() -> Any:
    raise AccessError("may not watch pods")


def too_old() -> Any:
    raise Gone("too old")


def test_the_watch_goes_on_where_it_was_and_lists_when_that_is_forgotten() -> None:
    gone = {"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}
    mark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
    answers = Answers(
        lambda: [([pod(uid="a")], "5"), ([pod(uid="b")], "5")],
        lambda: [change("ADDED", "c", "6"), change("DELETED", "a", "7"), b'{"cut":'],
        lambda: [change("MODIFIED", "c", "8"), json.dumps(mark).encode()],
        lambda: [TargetUnavailable("cut")],
        lambda: [json.dumps(gone).encode()],
        too_old,
        lambda: [([pod(uid="c")], "20")],
        refused,
        lambda: [change("ADDED", "d", "21")],
    )
    seen: list[tuple[str, bool]] = []
    lists: list[set[str]] = []
    watch = PodWatch(
        answers,  # type: ignore[arg-type]
        "labels",
        lambda one, gone: seen.append((one["metadata"]["uid"], gone)),
        lists.append,
    )
    until(lambda: "21" in answers.asked, "all is read")
    watch.close()
    assert lists == [{"a", "b"}, {"c"}]
    assert seen == [
        ("a", False),
        ("b", False),
        ("c", False),
        ("a", True),
        ("c", False),
        ("c", False),
        ("d", False),
    ]
    assert answers.asked[:9] == ["list", "5", "7", "9", "9", "list", "list", "20", "20"]


def test_a_pod_that_is_not_understood_does_not_hold_up_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = Answers(
        lambda: [([pod(uid="odd"), pod(uid="a")], "5")],
        lambda: [change("ADDED", "odd", "6"), change("ADDED", "b", "7")],
    )
    seen: list[str] = []

    def changed(one: Any, _: bool) -> None:
        if one["metadata"]["uid"] == "odd":
            raise KeyError("status")
        seen.append(one["metadata"]["uid"])

    watch = PodWatch(answers, "labels", changed, lambda _: None)  # type: ignore[arg-type]
    until(lambda: "7" in answers.asked, "all is read")
    watch.close()
    assert seen == ["a", "b"]
    assert caplog.text.count("pod plain-1-x is not understood") == 2
