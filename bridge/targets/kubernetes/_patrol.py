"""What is done about the few jobs that watching alone does not bring to an end."""

from __future__ import annotations

from typing import Any

from bridge.targets.kubernetes._standing import job_end, warning
from bridge.targets.kubernetes._tracker import Errand, Followed, Tracker
from bridge.targets.kubernetes.connection import Connection
from bridge.targets.kubernetes.resources import EVENTS, JOBS, PODS

__all__ = ["do", "pods_of"]


def do(errand: Errand, connection: Connection, tracker: Tracker) -> None:
    """Do an errand. Raises what the connection raises; it is due again then."""
    one = errand.followed
    if errand.task == "look":
        _look(one, connection, tracker)
        return
    connection.delete(JOBS, one.name)
    if errand.task == "withdraw":
        tracker.withdrawn(one)
    else:
        tracker.failed(one, errand.reason, temporary=errand.temporary)


def _look(one: Followed, connection: Connection, tracker: Tracker) -> None:
    """Ask the Job itself: of a job whose pod is gone, or has not come."""
    found = connection.find(JOBS, one.name)
    end = None if found is None else job_end(found)
    lost = one.task == "look"
    if found is None:
        text = f"{one.text}, and so is its Job" if one.text else "its Job was deleted"
        tracker.failed(one, text, temporary=True)
    elif end is not None:
        _end(one, *end, connection, tracker)
    elif lost:
        connection.delete(JOBS, one.name)
        tracker.failed(one, one.text, temporary=True)
    elif found["spec"].get("suspend"):
        tracker.patient(one, "it waits for its queue: the cluster has suspended its Job")
    elif tracker.is_late(one):
        _give_up(one, connection, tracker)


def _end(
    one: Followed, succeeded: bool, reason: str, connection: Connection, tracker: Tracker
) -> None:
    """A Job that is over: its pod says more than it does, where there still is one."""
    for pod in pods_of(one, connection):
        tracker.changed(pod, False)
    if succeeded:
        tracker.succeeded(one)
    else:
        tracker.failed(one, one.text or reason, temporary=True)


def pods_of(one: Followed, connection: Connection) -> list[dict[str, Any]]:
    """The pods that there are of an attempt: one, as a rule."""
    return connection.find_all(PODS, labels=f"job-name={one.name}")


def _give_up(one: Followed, connection: Connection, tracker: Tracker) -> None:
    """No pod for a long time, or one that is stuck: the cluster's events may say why."""
    pods = pods_of(one, connection)
    names = [one.name, *(pod["metadata"]["name"] for pod in pods)]
    found = [
        event
        for name in names
        for event in connection.find_all(EVENTS, fields=f"involvedObject.name={name}")
    ]
    text = warning(found)
    if pods and not text:
        tracker.patient(one, "")
        return
    connection.delete(JOBS, one.name)
    reason = f"its pod cannot start: {text}" if text else "the cluster has made no pod for it"
    tracker.failed(one, reason, temporary=True)
