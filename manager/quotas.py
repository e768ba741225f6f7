"""How much a user may have: cores, memory and jobs at once, and buckets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from bridge.dispatch import JobStore
from bridge.dispatch.protocol import Decide
from bridge.errors import BridgeError, PlacementError, UsageError, WaitError
from bridge.events import Event
from bridge.fdl import quantities
from bridge.fdl.model import Service
from bridge.scheduler import Decision, Snapshot
from bridge.scheduler import decide as decided
from bridge.targets import JobState
from manager._json import folded
from manager.auth import ADMIN
from manager.service import Deployed
from manager.store import ServiceStore

__all__ = ["Load", "Quota", "QuotaError", "Quotas", "read_quota", "shown"]

_KEPT: Final = "quota of user "
_AT_ONCE: Final = frozenset({JobState.PLACED, JobState.SUBMITTED, JobState.RUNNING})
# How long a count of jobs serves; what was placed meanwhile is added to it.
_FRESH: Final = 1.0
# Jobs that wait are looked at again so many times a second, however many they are.
_LOOKS: Final = 50
_LATEST: Final = 60.0


class QuotaError(UsageError):
    """A user may not have more of something."""

    code = "quota"


@dataclass(frozen=True, slots=True)
class Quota:
    """What one user may have at most, None for any amount: `cpu` in cores, `memory` in bytes and
    `jobs` of what runs at once, and `buckets`."""

    cpu: Decimal | None = None
    memory: int | None = None
    jobs: int | None = None
    buckets: int | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What a user's jobs have now; the units are those of `Quota`."""

    jobs: int = 0
    cpu: Decimal = Decimal(0)
    memory: int = 0

    def plus(self, service: Service, count: int = 1) -> Load:
        """The load with so many more jobs of a service."""
        own = service.resources
        return Load(self.jobs + count, self.cpu + own.cpu * count, self.memory + own.memory * count)

    def over(self, quota: Quota) -> str:
        """What of the quota it is more than, in words; "" for nothing."""
        for used, most, what in (
            (self.cpu, quota.cpu, "cores"),
            (self.memory, quota.memory, "bytes of memory"),
            (self.jobs, quota.jobs, "jobs at once"),
        ):
            if most is not None and used > most:
                return f"{most} {what}"
        return ""


class Quotas:
    """The quotas of a manager's users; the administrator has none. Thread-safe.

    `place` decides where a job runs that may run.
    """

    def __init__(
        self,
        state: ServiceStore,
        jobs: JobStore,
        services: Callable[[], Mapping[str, Deployed]],
        *,
        clock: Callable[[], float] = time.monotonic,
        place: Decide = decided,
    ) -> None:
        self._state = state
        self._jobs = jobs
        self._services = services
        self._clock = clock
        self._place = place
        self._lock = threading.Lock()
        self._counted = -_FRESH
        self._counts: Mapping[tuple[str, JobState], int] = {}
        self._placed: dict[str, Load] = {}

    def of(self, uid: str) -> Quota:
        """A user's quota."""
        kept = self._state.setting(_KEPT + uid, {})
        cpu = kept.get("cpu")
        return Quota(**{**kept, "cpu": None if cpu is None else Decimal(cpu)})

    def put(self, uid: str, quota: Quota) -> None:
        """Let a user have so much from now on; what he has already stays."""
        kept = {
            name: value for name in Quota.__slots__ if (value := getattr(quota, name)) is not None
        }
        self._state.put_setting(
            _KEPT + uid, {name: str(v) if name == "cpu" else v for name, v in kept.items()}
        )

    def load(self, uid: str) -> Load:
        """What the user's jobs have now, as of a moment ago."""
        with self._lock:
            return self._load(uid)

    def buckets(self, uid: str) -> Set[str]:
        """The buckets that are the user's."""
        return {name for name, row in self._state.buckets().items() if row.owner == uid}

    def check_buckets(self, uid: str, wanted: Set[str]) -> None:
        """QuotaError when the user would have too many buckets with these."""
        most = None if uid == ADMIN.uid else self.of(uid).buckets
        own = self.buckets(uid) if most is not None else frozenset()
        if most is not None and wanted - own and len(own | wanted) > most:
            raise QuotaError(f"your quota is {most} buckets, and you have {len(own)}")

    def check_service(self, one: Deployed) -> None:
        """QuotaError when no job of the service could ever run."""
        if one.owner != ADMIN.uid and (most := Load().plus(one.service).over(self.of(one.owner))):
            raise QuotaError(f"one job of {one.name} needs more than your quota of {most}")

    def decide(
        self, service: Service, event: Event | None, snapshot: Snapshot, /, *, seed: int = 0
    ) -> Decision:
        """The scheduler's decision, when the service's owner may have one more of its jobs.

        WaitError while others of his jobs have what he may have, PlacementError when one alone
        would be too much.
        """
        one = self._services().get(service.name)
        if one is not None and one.owner != ADMIN.uid:
            quota = self.of(one.owner)
            if quota != Quota():
                self._admit(one, quota)
        return self._place(service, event, snapshot, seed=seed)

    def _admit(self, one: Deployed, quota: Quota) -> None:
        if most := Load().plus(one.service).over(quota):
            raise PlacementError(f"the job needs more than its owner's quota of {most}")
        with self._lock:
            load = self._load(one.owner).plus(one.service)
            if most := load.over(quota):
                delay = min(_LATEST, 1 + self._waiting(one.owner) / _LOOKS)
                raise WaitError(f"its owner's quota of {most} is in use", delay=delay)
            self._placed[one.owner] = self._placed.get(one.owner, Load()).plus(one.service)

    def _load(self, uid: str) -> Load:
        now = self._clock()
        if now - self._counted >= _FRESH:
            self._counts, self._counted, self._placed = self._jobs.counts(), now, {}
        found, services = self._placed.get(uid, Load()), self._services()
        for (name, state), count in self._counts.items():
            one = services.get(name)
            if one is not None and one.owner == uid and state in _AT_ONCE:
                found = found.plus(one.service, count)
        return found

    def _waiting(self, uid: str) -> int:
        services = self._services()
        return sum(
            count
            for (name, state), count in self._counts.items()
            if state is JobState.ACCEPTED and name in services and services[name].owner == uid
        )


def read_quota(body: Mapping[str, Any], old: Quota) -> Quota:
    """The quota that a client's JSON object makes of the old one; UsageError for what is wrong.

    Numbers may be texts; "" or null of one that is named takes its limit away.
    """
    value = {name.replace("-", "_"): said for name, said in body.items()}
    minio = value.pop("minio", None) or {}
    if not isinstance(minio, Mapping):
        raise UsageError("minio must be an object")
    value |= {f"minio.{name}": said for name, said in folded(minio).items()}
    found = {name: getattr(old, name) for name in Quota.__slots__}
    for name, said in value.items():
        if name not in _READERS:
            raise UsageError(f"there is no quota of {name} here", hint=f"there are {_NAMES}")
        field, read = _READERS[name]
        try:
            found[field] = None if said in (None, "") else read(str(said))
        except (BridgeError, ValueError, ArithmeticError):
            raise UsageError(f"{name}: {said!r} is no amount") from None
    return Quota(**found)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


_READERS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "cpu": ("cpu", quantities.cpu),
    "memory": ("memory", quantities.memory),
    "jobs": ("jobs", _whole),
    "minio.buckets": ("buckets", _whole),
}
_NAMES: Final = ", ".join(_READERS)


def shown(uid: str, quota: Quota, load: Load, buckets: int) -> dict[str, Any]:
    """A user's quota as clients read it, without what is not limited: cpu in thousandths of a core,
    memory in bytes."""
    resources = {
        name: {"max": most, "used": used}
        for name, most, used in (
            ("cpu", None if quota.cpu is None else int(quota.cpu * 1000), int(load.cpu * 1000)),
            ("memory", quota.memory, load.memory),
            ("jobs", quota.jobs, load.jobs),
        )
        if most is not None
    }
    found: dict[str, Any] = {"user_id": uid}
    found |= {"resources": resources} if resources else {}
    if quota.buckets is not None:
        found["minio"] = {"buckets": {"max": quota.buckets, "used": buckets}}
    return found
