"""What a cluster has room for, read now and then and kept: no job asks for it.

capacity = ClusterCapacity(connection)
capacity.refresh()
state = capacity.state(TargetState(spec), services)
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bridge.errors import AccessError, BridgeError, NotFoundError
from bridge.fdl.model import Service
from bridge.scheduler import Image, Machines, Room, TargetState
from bridge.targets.kubernetes._images import image_of
from bridge.targets.kubernetes._queues import YUNIKORN_LABEL, kueue_limits, yunikorn_limits
from bridge.targets.kubernetes._room import (
    Capacity,
    Limit,
    Node,
    Tally,
    machines,
    nodes_of,
    quotas_of,
    room,
)
from bridge.targets.kubernetes.connection import Connection
from bridge.targets.kubernetes.resources import (
    CONFIG_MAPS,
    NODES,
    PODS,
    RESOURCE_QUOTAS,
    Resource,
)

__all__ = ["ClusterCapacity", "read_capacity", "room_notes"]

LOG: Final = logging.getLogger("bridge.targets.kubernetes")
_LIVE: Final = "status.phase!=Succeeded,status.phase!=Failed"
_KUEUE: Final = "kueue.x-k8s.io"
_YUNIKORN: Final = "yunikorn"


def read_capacity(connection: Connection) -> Capacity:
    """Ask the cluster for all of it: some four requests and one more for every 500 pods.

    What we may not see is left out. Other errors are the connection's.
    """
    settings = connection.settings
    tally = Tally((YUNIKORN_LABEL,))
    try:
        for pods, _ in connection.pages(PODS, fields=_LIVE, namespace=""):
            tally.add(pods)
        seen = connection.find_all(NODES)
    except AccessError:
        return Capacity(limits=tuple(_limits(connection, tally)))
    nodes, others = nodes_of(
        seen, tally.nodes, selector=settings.node_selector, tolerations=settings.tolerations
    )
    return Capacity(
        nodes=nodes,
        others=others,
        limits=tuple(_limits(connection, tally)),
        count=len(seen),
        pending=tally.pending,
        growth=settings.autoscaler,
    )


def room_notes(connection: Connection, services: Sequence[Service]) -> list[str]:
    """What is short for jobs of services on a cluster now, a sentence for each service; nothing for
    those that have room or of which nothing is known."""
    rooms = _rooms(services, read_capacity(connection))
    return [
        f"{name} {'must wait' if one.ever + one.more else 'can never run'}"
        f" on cluster {connection.name}: {one.why}"
        for name, one in rooms.items()
        if one.why
    ]


def _limits(connection: Connection, tally: Tally) -> list[Limit]:
    limits = quotas_of(_seen(connection, RESOURCE_QUOTAS))
    if version := _kueue_version(connection):
        local = Resource(version, "LocalQueue", "localqueues")
        whole = Resource(version, "ClusterQueue", "clusterqueues", namespaced=False)
        limits += kueue_limits(_seen(connection, local), _seen(connection, whole))
    for config in _seen(connection, CONFIG_MAPS, name="yunikorn-configs", namespace=_YUNIKORN):
        text = (config.get("data") or {}).get("queues.yaml", "")
        limits += yunikorn_limits(text, tally.labelled)
    return limits


def _kueue_version(connection: Connection) -> str:
    """The version of Kueue's objects that the cluster prefers, "" when it has none."""
    try:
        answer = connection.raw(f"/apis/{_KUEUE}")
    except (AccessError, NotFoundError):
        return ""
    return str(answer["preferredVersion"]["groupVersion"])


def _seen(
    connection: Connection, resource: Resource, *, name: str = "", namespace: str | None = None
) -> list[dict[str, Any]]:
    """The objects, or the one of that name; none where there are none or we may not look."""
    try:
        if name:
            return [connection.get(resource, name, namespace=namespace)]
        return connection.find_all(resource, namespace=namespace)
    except (AccessError, NotFoundError):
        return []


@dataclass(frozen=True, slots=True)
class _Reading:
    capacity: Capacity
    taken: float
    machines: Machines | None


@dataclass(frozen=True, slots=True)
class _Found:
    """What a reading says of some services."""

    reading: _Reading
    services: Sequence[Service]
    rooms: Mapping[str, Room]
    images: Mapping[str, Image]


class ClusterCapacity:
    """The capacity of one cluster, at most about the settings' `capacity_age` seconds old while
    anybody asks for it; nobody asks, nothing is read. Safe to use from several threads.
    """

    def __init__(
        self, connection: Connection, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._lock = threading.Lock()
        self._last: _Reading | None = None
        self._tried = clock() - connection.settings.capacity_age
        self._reader: threading.Thread | None = None
        self._found: _Found | None = None

    def refresh(self) -> None:
        """Read it now; errors are the connection's."""
        capacity = read_capacity(self._connection)
        with self._lock:
            self._tried = self._clock()
            self._last = _Reading(capacity, self._tried, machines(capacity))

    def state(self, known: TargetState, services: Sequence[Service]) -> TargetState:
        """`known` with the room for each service, whose image is there, the machines and their
        age; returns at once.

        When it is too old, a reading is begun beside. What cannot be read stays as it was, and
        ages; before the first reading `known` is the answer.
        """
        with self._lock:
            now = self._clock()
            self._renew(now)
            if self._last is None:
                return known
            found = self._found
            if found is None or found.reading is not self._last or found.services is not services:
                found = self._found = _found(self._last, services)
            age = max(known.age, now - self._last.taken)
            machines = self._last.machines
            return replace(known, room=found.rooms, image=found.images, machines=machines, age=age)

    def nodes(self) -> tuple[Node, ...]:
        """The nodes that take jobs, as they were read last; returns at once, and a reading is begun
        as by `state`. Nothing before the first, or where they may not be seen."""
        with self._lock:
            self._renew(self._clock())
            return (self._last.capacity.nodes or ()) if self._last else ()

    def close(self) -> None:
        """Wait for a reading that is under way."""
        with self._lock:
            reader = self._reader
        if reader is not None:
            reader.join()

    def _renew(self, now: float) -> None:
        busy = self._reader is not None and self._reader.is_alive()
        if busy or now - self._tried < self._connection.settings.capacity_age:
            return
        self._tried = now
        self._reader = threading.Thread(target=self._read, name="capacity", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            self.refresh()
        except BridgeError as error:
            LOG.warning("the capacity of %s is not known anew: %s", self._connection.name, error)


def _found(reading: _Reading, services: Sequence[Service]) -> _Found:
    nodes = reading.capacity.nodes or ()
    images = {service.name: image_of(service, nodes) for service in services}
    known = {name: one for name, one in images.items() if one is not None}
    return _Found(reading, services, _rooms(services, reading.capacity), known)


def _rooms(services: Sequence[Service], capacity: Capacity) -> Mapping[str, Room]:
    found = {service.name: room(service, capacity) for service in services}
    return {name: one for name, one in found.items() if one is not None}
