"""What the statuses of pods mean, in words."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from bridge.targets import JobState
from bridge.targets.kubernetes._standing import final_update, job_end, standing, warning
from tests.targets.kubernetes.shapes import ended, pod, waiting

PULL = "rpc error: code = Unknown desc = Error response from daemon: "


@pytest.mark.parametrize(
    ("found", "kind", "words", "hopeless"),
    [
        (pod(main=waiting("ContainerCreating")), "start", "", False),
        (pod(), "start", "", False),
        (
            pod(main=waiting("ErrImagePull", f"{PULL}manifest unknown")),
            "image",
            "image example.org/image:1 cannot be pulled: rpc error",
            True,
        ),
        (pod(main=waiting("ErrImagePull", f"{PULL}no route to host")), "image", "no route", False),
        (pod(main=waiting("ImagePullBackOff", "Back-off pulling image")), "image", "", False),
        (pod(main=waiting("ErrImageNeverPull", "is not present")), "image", "not present", True),
        (pod(main=waiting("InvalidImageName", "bad")), "image", "bad", True),
        (
            pod(init=waiting("ErrImagePull", f"{PULL}not found")),
            "image",
            "`oscar-bridge runtime image` makes it",
            True,
        ),
        (
            pod(main=waiting("CreateContainerConfigError", 'secret "x" not found')),
            "container",
            'secret "x" not found',
            False,
        ),
        (
            pod(
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
                    }
                ]
            ),
            "place",
            "no node has room for it: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
            False,
        ),
    ],
)
def test_why_a_pod_waits(found: dict[str, Any], kind: str, words: str, hopeless: bool) -> None:
    there = standing(found)
    assert there.state == "waiting"
    assert (there.waiting.kind, there.waiting.hopeless) == (kind, hopeless)
    assert words in there.waiting.text


def test_a_pod_runs_and_leaves() -> None:
    running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    there = standing(pod("Running", main=running))
    assert (there.state, there.started, there.leaving) == ("running", 1767225600.0, False)
    assert standing(pod("Running", main=running, leaving=True)).leaving
    # A container of somebody else's in the pod does not keep the job from having ended.
    assert standing(pod("Running", main=ended(0))).state == "ended"


def report(state: str, **more: Any) -> str:
    return json.dumps({"job": "plain-1", "state": state, **more})


OOM = "out of memory: the limit of the service is 256Mi"


@pytest.mark.parametrize(
    ("found", "reason", "temporary"),
    [
        (pod("Failed", main=ended(137, "OOMKilled")), OOM, False),
        (
            pod("Failed", main=ended(137, "OOMKilled", report("failed", reason="killed"))),
            OOM,
            False,
        ),
        (
            pod(
                "Failed", main=ended(3, message=report("failed", exit_code=3, reason="the script"))
            ),
            "the script",
            False,
        ),
        (
            pod("Failed", main=ended(143, message=report("failed", reason="x", temporary=True))),
            "x",
            True,
        ),
        (pod("Failed", main=ended(137)), "ended with status 137 and no report", True),
        (pod("Failed", main=ended(1, message="a\nlast words")), "no report: a | last words", False),
        (
            pod(
                "Failed",
                main=ended(1, message="exec /opt/bridge/bin/bridge-supervisor: no such file"),
            ),
            "the image has no /bin/sh",
            False,
        ),
        (pod("Failed", main=ended(128, "StartError", "exec format")), "exec format", False),
        (
            pod("Failed", reason="Evicted", message="low on memory"),
            "evicted .* low on memory",
            True,
        ),
        (pod("Failed", reason="NodeLost"), "its node is gone", True),
        (pod("Failed", reason="OutOfcpu", message="no cpu"), "its node refused it: no cpu", True),
        (
            pod("Failed", reason="DeadlineExceeded", main=ended(143, message=report("failed"))),
            "ended it after 90 s",
            False,
        ),
        (
            pod(
                "Failed",
                conditions=[{"type": "DisruptionTarget", "status": "True", "message": "drained"}],
            ),
            "took its pod away: drained",
            True,
        ),
        (
            pod("Failed", init=ended(1, message="a\nno space left on device")),
            "runtime's container failed with status 1: a | no space left",
            False,
        ),
        (pod("Failed", init=ended(137)), "runtime's container failed with status 137", True),
        (pod("Failed"), "before the container was started", True),
    ],
)
def test_why_a_pod_failed(found: dict[str, Any], reason: str, temporary: bool) -> None:
    news = final_update("plain-1", 2, found)
    assert news.state is JobState.FAILED
    assert re.search(reason, news.reason), news.reason
    assert news.temporary is temporary
    assert (news.job, news.attempt, news.handle) == ("plain-1", 2, "plain-1")


def test_last_words_that_no_parser_follows_are_only_words() -> None:
    words = "[" * 4096
    update = final_update("plain-1", 1, pod("Failed", main=ended(137, "OOMKilled", words)))
    assert (update.state, update.reason[:13]) == (JobState.FAILED, "out of memory")


def test_a_success_counts_only_when_both_say_so() -> None:
    message = report("succeeded", started=1.0, ended=2.0, exit_code=0, outputs=[])
    news = final_update("plain-1", 1, pod("Succeeded", main=ended(0, "Completed", message)))
    assert news.state is JobState.SUCCEEDED
    assert news.report["outputs"] == []
    # The kernel killed a child that the script did without: the job has done its work.
    oom = final_update("plain-1", 1, pod("Succeeded", main=ended(0, "OOMKilled", message)))
    assert oom.state is JobState.SUCCEEDED
    lying = final_update("plain-1", 1, pod("Failed", main=ended(1, message=message)))
    assert lying.state is JobState.FAILED


def test_what_jobs_and_events_say() -> None:
    def with_condition(**condition: str) -> dict[str, Any]:
        return {"status": {"conditions": [condition]}}

    assert job_end({}) is None
    assert job_end(with_condition(type="Complete", status="True")) == (True, "")
    assert job_end(with_condition(type="Failed", status="True", message="m")) == (False, "m")
    assert job_end(with_condition(type="Failed", status="False")) is None
    events = [
        {"type": "Warning", "reason": "Old", "message": "o", "lastTimestamp": "2026-01-01"},
        {"type": "Warning", "reason": "New", "message": "n", "lastTimestamp": "2026-01-02"},
        {"type": "Normal", "reason": "Fine", "message": "f", "lastTimestamp": "2026-01-01"},
    ]
    assert warning(events) == "New: n"
    short = {**events[1], "message": "Error: ErrImagePull", "lastTimestamp": "2026-01-03"}
    assert warning([*events, short]) == "New: n"
    dns = {**short, "reason": "MissingClusterDNS", "lastTimestamp": "2026-01-04"}
    assert warning([*events, dns]) == "New: n"
    assert warning([dns]) == ""
    assert warning([short]) == "New: Error: ErrImagePull"
    # What came after a warning says that it has passed.
    assert warning(events[:1] + events[2:]) == ""
    assert warning([]) == ""
