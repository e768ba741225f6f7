"""Quotas kept to: of jobs and money when they are placed, of buckets and volumes when they are
made, of bytes when somebody wants to write."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Final

from bridge.dispatch import JobStore
from bridge.dispatch.protocol import Decide
from bridge.errors import PlacementError, UsageError, WaitError
from bridge.events import Event
from bridge.fdl.model import Service
from bridge.scheduler import Decision, Snapshot, Spent
from bridge.scheduler import decide as decided
from bridge.targets import JobState
from manager.auth import ADMIN
from manager.quota import Load, Quota, Used, from_stored, to_store
from manager.reserved import Reserved
from manager.service import Deployed
from manager.store import BucketRow, ServiceStore
from manager.stored import Stored

__all__ = ["QuotaError", "Quotas"]

_KEPT: Final = "quota of user "
_AT_ONCE: Final = frozenset({JobState.PLACED, JobState.SUBMITTED, JobState.RUNNING})
# How long a count of jobs, or a quota, serves; what was placed meanwhile is added to the count.
_FRESH: Final = 1.0
# So long after its decision a job may not be stored yet: for a moment it may count twice.
_STORED: Final = 0.5
# Jobs that wait are looked at again so many times a second, however many they are.
_LOOKS: Final = 50
_LATEST: Final = 60.0


class QuotaError(UsageError):
    """A user may not have more of something."""

    code = "quota"


class Quotas:
    """The quotas of a manager's users; the administrator has none. Thread-safe.

    What another manager changes is in force here within a second, and what another places counts
    here before anything is placed (`manager.reserved`). `spent` is asked with the name
    of a service for what its owner has spent, `place` decides where a job runs that may run.
    """

    def __init__(
        self,
        state: ServiceStore,
        jobs: JobStore,
        services: Callable[[], Mapping[str, Deployed]],
        stored: Stored,
        spent: Callable[[str], Spent],
        *,
        clock: Callable[[], float] = time.monotonic,
        place: Decide = decided,
    ) -> None:
        self._state = state
        self._jobs = jobs
        self._services = services
        self._stored = stored
        self._spent = spent
        self._clock = clock
        self._place = place
        self._lock = threading.Lock()
        self._counted = -_FRESH
        self._kept: dict[str, tuple[float, Quota]] = {}
        self._sizes: dict[str, tuple[float, Mapping[str, int]]] = {}
        self._counts = _Counts()
        self._placed: deque[tuple[float, Deployed, int]] = deque()
        self._reserved = Reserved(state)
        self._costs: dict[str, Decimal] = {}

    def of(self, uid: str) -> Quota:
        """A user's quota, as of a moment ago."""
        now = self._clock()
        at, quota = self._kept.get(uid, (-_FRESH, Quota()))
        if now - at >= _FRESH:
            quota = from_stored(self._state.setting(_KEPT + uid, {}))
            self._kept[uid] = now, quota
        return quota

    def put(self, uid: str, quota: Quota) -> None:
        """Let a user have so much from now on; what he has already stays."""
        self._state.put_setting(_KEPT + uid, to_store(quota))
        self._kept.pop(uid, None)

    def used(self, uid: str, volumes: Sequence[int] = ()) -> Used:
        """What the user has; `volumes` are the bytes of his."""
        quota = self.of(uid)
        own = self.buckets(uid)
        load = _counts(self._jobs.counts(), self._services()).loads[uid]
        # Any of his services says what all of them have cost.
        name = next((n for n, one in self._services().items() if one.owner == uid), "")
        spent = self._spent(name) if quota.of_money else Spent()
        return Used(
            load,
            buckets=len(own),
            stored=sum(self._stored.of(own).values()) if quota.of_storage else 0,
            volumes=len(volumes),
            disk=sum(volumes),
            day=spent.owner_day,
            month=spent.owner_month,
        )

    def buckets(self, uid: str) -> Set[str]:
        """The buckets that are the user's."""
        return {name for name, row in self._state.buckets().items() if row.owner == uid}

    # --- of what is kept ----------------------------------------------------------------------

    def check_buckets(self, uid: str, wanted: Set[str]) -> None:
        """QuotaError when the user would have too many buckets with these."""
        most = None if uid == ADMIN.uid else self.of(uid).buckets
        own = self.buckets(uid) if most is not None else frozenset()
        if most is not None and wanted - own and len(own | wanted) > most:
            raise QuotaError(f"your quota is {most} buckets, and you have {len(own)}")

    def claim_bucket(self, row: BucketRow) -> BucketRow:
        """What is known of a bucket, which is this when nothing was: of two who ask for it at once
        one gets it. QuotaError when its owner would have too many."""
        most = None if row.owner == ADMIN.uid else self.of(row.owner).buckets
        found = self._state.claim_bucket(row, most)
        if found is None:
            have = len(self.buckets(row.owner))
            raise QuotaError(f"your quota is {most} buckets, and you have {have}")
        return found

    def check_volume(self, uid: str, own: Sequence[int], size: int) -> None:
        """QuotaError when the user may not have one more volume of so many bytes beside his own."""
        quota = Quota() if uid == ADMIN.uid else self.of(uid)
        if quota.volumes is not None and len(own) >= quota.volumes:
            raise QuotaError(f"your quota is {quota.volumes} volumes, and you have {len(own)}")
        if quota.disk is not None and sum(own) + size > quota.disk:
            said = f"your quota is {quota.disk} bytes of volumes, and you have {sum(own)}"
            raise QuotaError(said)
        if quota.largest is not None and size > quota.largest:
            raise QuotaError(f"your quota is {quota.largest} bytes for a volume")
        if quota.smallest is not None and size < quota.smallest:
            raise QuotaError(f"a volume of yours must have {quota.smallest} bytes at least")

    def check_writing(self, bucket: str) -> None:
        """QuotaError when nothing more may be written to a bucket: it, or all of its owner's
        together, had when they were counted what he may have."""
        row = self._state.bucket(bucket)
        if row is not None and (full := self._full(row.owner, {bucket})):
            raise QuotaError(f"the quota of {full} of the bucket's owner is used up")

    def _full(self, uid: str, written: Set[str]) -> str:
        """What of a user's quota of bytes is used up, as far as these buckets go; "" for none."""
        quota = Quota() if uid == ADMIN.uid else self.of(uid)
        if not quota.of_storage:
            return ""
        counts = self._bytes(uid)
        if quota.stored is not None and sum(counts.values()) >= quota.stored:
            return f"{quota.stored} bytes in buckets"
        if (most := quota.bucket) is None:
            return ""
        full = [name for name in sorted(written) if counts.get(name, 0) >= most]
        return f"{most} bytes in {full[0]}" if full else ""

    def _bytes(self, uid: str) -> Mapping[str, int]:
        """The bytes of a user's buckets by name, as of a moment ago."""
        now = self._clock()
        at, counts = self._sizes.get(uid, (-_FRESH, {}))
        if now - at >= _FRESH:
            counts = self._stored.of(self.buckets(uid))
            self._sizes[uid] = now, counts
        return counts

    def recount(self) -> None:
        """Count the bytes of all users that have a quota of them. Errors of the object store."""
        users = (name.removeprefix(_KEPT) for name in self._state.settings(_KEPT))
        limited = {uid for uid in users if self.of(uid).of_storage}
        rows = self._state.buckets().items() if limited else ()
        self._stored.recount(name for name, row in rows if row.owner in limited)
        self._sizes.clear()

    # --- of jobs ------------------------------------------------------------------------------

    def check_service(self, one: Deployed) -> None:
        """QuotaError when no job of the service could ever run."""
        if one.owner != ADMIN.uid and (most := Load().plus(one.service).over(self.of(one.owner))):
            raise QuotaError(f"one job of {one.name} needs more than your quota of {most}")

    def decide(
        self, service: Service, event: Event | None, snapshot: Snapshot, /, *, seed: int = 0
    ) -> Decision:
        """The scheduler's decision, when the service's owner may have one more of its jobs.

        WaitError while others of his jobs have what he may have, or he has spent it, or has no
        room for what they write; PlacementError when one alone would be too much.
        """
        one = self._services().get(service.name)
        quota = Quota() if one is None or one.owner == ADMIN.uid else self.of(one.owner)
        if one is None or quota == Quota():
            return self._place(service, event, snapshot, seed=seed)
        if full := self._full(one.owner, {path.bucket for path in one.service.outputs}):
            raise WaitError(f"its owner's quota of {full} is used up", delay=_LATEST)
        self._check_load(one, quota)
        decision = self._place(service, event, snapshot, seed=seed)
        if quota.of_money and decision.chosen is not None:
            self._check_money(one, quota, decision.chosen.offer.cost)
        with self._lock:
            if self._state.shared:
                self._reserved.place(one.owner, one.name, partial(self._told, one, quota))
            self._add(one, 1)
        return decision

    def _add(self, one: Deployed, count: int) -> None:
        self._placed.append((self._clock(), one, count))
        self._counts.add(one, count)

    def _told(self, one: Deployed, quota: Quota, others: Mapping[str, int] | None) -> None:
        """Look once more, when what other managers have placed is known. Raises WaitError."""
        if others is None:
            raise WaitError("other managers may have placed some of its owner's jobs", delay=_FRESH)
        services = self._services()
        for name, count in others.items():
            if name in services:
                self._add(services[name], count)
        self._check_room(one, quota)

    def _check_load(self, one: Deployed, quota: Quota) -> None:
        if most := Load().plus(one.service).over(quota):
            raise PlacementError(f"the job needs more than its owner's quota of {most}")
        with self._lock:
            self._fresh()
            self._check_room(one, quota)

    def _check_room(self, one: Deployed, quota: Quota) -> None:
        load = self._counts.loads[one.owner].plus(one.service)
        if most := load.over(quota):
            delay = min(_LATEST, 1 + self._counts.waiting[one.owner] / _LOOKS)
            raise WaitError(f"its owner's quota of {most} is in use", delay=delay)

    def _check_money(self, one: Deployed, quota: Quota, cost: Decimal) -> None:
        """What runs now is taken to cost what was expected of the last job of its service."""
        with self._lock:
            self._costs[one.name] = cost
            runs = self._fresh().running[one.owner].items()
            running = sum((self._costs.get(name, cost) * n for name, n in runs), Decimal(0))
        spent = self._spent(one.name)
        for had, most, what in (
            (spent.owner_day, quota.day, "day"),
            (spent.owner_month, quota.month, "month"),
        ):
            if most is not None and had + running + cost > most:
                said = f"its owner's quota of {most:f} USD a {what} is spent, or would be"
                raise WaitError(said, delay=_LATEST)

    def _fresh(self) -> _Counts:
        """All jobs, counted once for all users now and then."""
        now = self._clock()
        if now - self._counted >= _FRESH:
            counts, services = self._jobs.counts(), self._services()
            self._counted, self._counts = now, _counts(counts, services)
            while self._placed and self._placed[0][0] < now - _STORED:
                self._placed.popleft()
            for _, one, count in self._placed:
                self._counts.add(one, count)
        return self._counts


@dataclass(slots=True)
class _Counts:
    """By owner: what his jobs have, how many of each service have it, and how many jobs wait."""

    loads: defaultdict[str, Load] = field(default_factory=lambda: defaultdict(Load))
    running: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    waiting: Counter[str] = field(default_factory=Counter)

    def add(self, one: Deployed, count: int) -> None:
        """So many more jobs of a service run, or will."""
        self.loads[one.owner] = self.loads[one.owner].plus(one.service, count)
        self.running[one.owner][one.name] += count


def _counts(
    counts: Mapping[tuple[str, JobState], int], services: Mapping[str, Deployed]
) -> _Counts:
    found = _Counts()
    for (name, state), count in counts.items():
        one = services.get(name)
        if one is not None and state in _AT_ONCE:
            found.add(one, count)
        elif one is not None and state is JobState.ACCEPTED:
            found.waiting[one.owner] += count
    return found
