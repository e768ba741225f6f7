"""Target `oscar`: a cluster behind OSCAR's REST API, upstream's or ours."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from bridge.errors import BridgeError, NotFoundError, TargetUnavailable
from bridge.events import delegated
from bridge.fdl.model import Document, ProviderRef, Service, StorageProvider, TargetSpec
from bridge.targets.oscar._answers import RemoteJob
from bridge.targets.oscar._http import MaybeDone
from bridge.targets.oscar.body import plain, secrets_in, service_body
from bridge.targets.oscar.client import OscarClient
from bridge.targets.protocol import Job, JobState, JobUpdate
from bridge.targets.render import ProviderAccess

__all__ = ["OscarTarget", "job_body", "news_of", "remote_name"]

_LONGEST: Final = 63
_DIGEST: Final = 33
# Shorter than the lease of a dispatcher: whoever takes its jobs over sees what it had submitted.
_FRESH: Final = 5.0
_POLL: Final = 1.0
# A job that was just accepted may not be on the list yet.
_MISSING: Final = 60.0
_LEASE: Final = 3600.0


@dataclass(slots=True)
class _Open:
    """A job that the cluster has, or may have. `since` is when it was sent first."""

    service: str
    name: str
    attempt: int
    since: float
    certain: bool = False


@dataclass(slots=True)
class _Listed:
    """The names of a service's jobs at a time."""

    at: float = -1e9
    names: frozenset[str] = frozenset()
    guard: threading.Lock = field(default_factory=threading.Lock)


class OscarTarget:
    """Runs jobs on a remote OSCAR cluster under our own names.

    `origin` is the cluster that events come from, when they are delegated from one to another: an
    object in its MinIO is read as `minio.<origin>` there, and the remote service must know that
    cluster. Without it the events are the remote cluster's own.

    What is guaranteed. A manager of ours starts one job for a name, however often it is sent.
    Upstream's does not promise that, so the list of jobs is asked for the name before each submit
    (one list serves all submits of 5 seconds), and again after each request whose end is not known;
    a name on it is not sent again. What remains: a request that upstream carries out later than
    it was taken for lost, and a second submit that falls into that gap; and a submit whose process
    died before it was recorded, when the cluster is away from then on. A job is given to another
    target only when `has_let_go` says so: it was never sent, or the cluster does not have it, or
    could not be asked for `lease` seconds; after that it may run twice.

    News: one list per service with open jobs and second, whatever their number. Upstream's
    supervisor ends with 0 whatever the script does, so SUCCEEDED says that it ran; ours is exact.
    A job that disappears from the list is FAILED and temporary.
    """

    def __init__(
        self,
        spec: TargetSpec,
        client: OscarClient,
        access: Mapping[ProviderRef, ProviderAccess],
        *,
        origin: str = "",
        lease: float = _LEASE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        self._client = client
        self._access = access
        self._origin = origin
        self._lease = lease
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, _Open] = {}
        self._final: dict[str, JobUpdate] = {}
        self._lists: dict[str, _Listed] = {}
        self._polled = -1e9

    def deploy(self, services: Sequence[Service]) -> None:
        """Create or update the services by name; the cluster keeps token, owner and secrets."""
        document = Document(
            file="",
            services=tuple(services),
            providers={
                ref: StorageProvider(ref, one.settings, one.secrets)
                for ref, one in self._access.items()
            },
        )
        for service in services:
            body = service_body(service, self._client.id, document)
            hidden = [one for _, one in secrets_in(body)]
            there = self._client.service(service.name)
            write = self._client.create if there is None else self._client.update
            write(plain(body), hidden)

    def remove(self, services: Sequence[str]) -> None:
        """Delete the services; their buckets stay, with what is in them."""
        for name in services:
            self._client.retire(name)

    def submit(self, job: Job) -> str:
        """See `Target.submit`; the handle is the job's name on the cluster.

        TargetUnavailable when it is not known whether the cluster has the job.
        """
        name = remote_name(job.id, job.attempt)
        with self._lock:
            known = self._open.get(job.id)
        if known is not None and known.certain and known.attempt >= job.attempt:
            return known.name
        if name not in self._names(job.service, fresh=known is not None):
            self._send(job, name)
        with self._lock:
            self._open[job.id] = replace(self._entry(job, name), certain=True)
        return name

    def _entry(self, job: Job, name: str) -> _Open:
        return _Open(job.service, name, job.attempt, self._clock())

    def _send(self, job: Job, name: str) -> None:
        headers = {"X-Delegated-Job-ID": name, "X-Delegated-From": self._origin or "oscar-bridge"}
        try:
            self._client.submit(job.service, job_body(job, self._origin), headers)
        except MaybeDone as error:
            with self._lock:
                self._open.setdefault(job.id, self._entry(job, name))
                self._final.pop(job.id, None)
            if name not in self._names(job.service, fresh=True):
                raise TargetUnavailable(error.message, delay=error.delay) from error

    def _names(self, service: str, *, fresh: bool = False) -> frozenset[str]:
        """The names of the service's jobs, as of some seconds ago; as of now when `fresh`."""
        with self._lock:
            listed = self._lists.setdefault(service, _Listed())
        asked = self._clock()
        with listed.guard:
            # A list that was asked for before this call may be older than what it is to show.
            if listed.at <= asked if fresh else listed.at < asked - _FRESH:
                listed.names = frozenset(one.name for one in self._client.jobs(service))
                listed.at = asked
            return listed.names

    def poll(self) -> Iterable[JobUpdate]:
        """See `Target.poll`; asks the cluster once a second at most."""
        with self._lock:
            now = self._clock()
            due = now - self._polled >= _POLL
            self._polled = now if due else self._polled
            waiting: dict[str, dict[str, _Open]] = {}
            for job, one in self._open.items():
                if job not in self._final:
                    waiting.setdefault(one.service, {})[job] = one
        fresh: list[JobUpdate] = []
        for service, jobs in waiting.items() if due else ():
            fresh += self._ask(service, jobs, now)
        with self._lock:
            self._final |= {one.job: one for one in fresh if one.state.final}
            ended = [one for job, one in self._final.items() if job in self._open]
        return [*(one for one in fresh if not one.state.final), *ended]

    def _ask(self, service: str, jobs: Mapping[str, _Open], now: float) -> list[JobUpdate]:
        """The news of a service's open jobs. The list ends early when it had them all."""
        missing = {one.name: job for job, one in jobs.items()}
        found: list[JobUpdate] = []
        for remote in self._client.jobs(service):
            job = missing.pop(remote.name, None)
            if job is not None:
                jobs[job].certain = True
                found += news_of(job, jobs[job].attempt, remote, self._client.id)
            if not missing:
                break
        for job in missing.values():
            if jobs[job].certain and now - jobs[job].since > _MISSING:
                found.append(self._lost(job, jobs[job]))
        return found

    def _lost(self, job: str, entry: _Open) -> JobUpdate:
        reason = f"cluster {self._client.id} does not have the job any more"
        return JobUpdate(
            job,
            JobState.FAILED,
            handle=entry.name,
            reason=reason,
            temporary=True,
            attempt=entry.attempt,
        )

    def forget(self, job: str) -> None:
        """Do not report the job any more. Its log stays on the cluster until that removes it."""
        with self._lock:
            self._open.pop(job, None)
            self._final.pop(job, None)

    def has_let_go(self, job: Job, since: float | None) -> bool:
        """Whether another target may have the job; see the class.

        What is on the list is not let go: it runs there, or did, and the next submit finds it.
        `since`, in seconds since the epoch, is for what another process has submitted.
        """
        with self._lock:
            entry = self._open.get(job.id)
        if entry is None and since is None:
            return True
        try:
            names = self._names(job.service, fresh=True)
        except BridgeError:
            age = self._clock() - entry.since if entry else time.time() - (since or 0.0)
            return age > self._lease
        if remote_name(job.id, job.attempt) in names:
            return False
        self.forget(job.id)
        return True

    def cancel(self, job: str) -> None:
        """See `Target.cancel`; the cluster deletes the job with its log."""
        with self._lock:
            entry = self._open.get(job)
        if entry is None:
            return
        self._client.cancel(entry.service, entry.name)
        with self._lock:
            self._final[job] = JobUpdate(
                job, JobState.CANCELLED, handle=entry.name, attempt=entry.attempt
            )

    def logs(self, job: str) -> Iterator[str]:
        """See `Target.logs`; nothing of a job that is not known here or there."""
        with self._lock:
            entry = self._open.get(job)
        if entry is None:
            return iter(())
        try:
            return iter(self._client.log(entry.service, entry.name))
        except NotFoundError:
            return iter(())

    def close(self) -> None:
        """See `Target.close`."""
        self._client.close()


def remote_name(job: str, attempt: int) -> str:
    """The name of an attempt on a cluster: the job's own for the first, one like it for others.

    At most 63 characters, which are a Kubernetes name when the job's id is one.
    """
    if attempt == 1 and len(job) <= _LONGEST:
        return job
    tail = f"-{attempt}"
    stem, digest = job[:-_DIGEST], job[-_DIGEST:]
    return f"{stem[: _LONGEST - len(digest) - len(tail)].rstrip('-')}{digest}{tail}"


def job_body(job: Job, origin: str = "") -> bytes:
    """The request of an attempt: upstream's form of a delegated event, with the job's name in it.

    Upstream wants the event as text.
    """
    own = job.event.provider
    provider = f"minio.{origin}" if origin and own == "minio.default" else own
    told = delegated(job.event, provider, job.id, job.attempt, job.trace)
    if not isinstance(told["event"], str):
        told["event"] = json.dumps(told["event"])
    return json.dumps(told).encode()


def news_of(job: str, attempt: int, remote: RemoteJob, cluster: str) -> list[JobUpdate]:
    """What a job's line in the list means; nothing for one that has not begun."""
    states = {
        "Running": JobState.RUNNING,
        "Succeeded": JobState.SUCCEEDED,
        "Failed": JobState.FAILED,
    }
    state = states.get(remote.status)
    if state is None:
        return []
    failed = state is JobState.FAILED
    return [
        JobUpdate(
            job,
            state,
            handle=remote.name,
            started=remote.started or remote.created,
            ended=remote.finished if state.final else None,
            exit_code=0 if state is JobState.SUCCEEDED else None,
            reason=f"it failed on cluster {cluster}; its log says why" if failed else "",
            attempt=attempt,
        )
    ]
