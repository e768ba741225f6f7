"""An OSCAR cluster as a side of day two."""

from __future__ import annotations

import datetime
import heapq
import json
import re
import secrets
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from bridge.dispatch import Attempt, JobDetail, JobRecord
from bridge.errors import BridgeError, NotFoundError, UsageError
from bridge.events import Event, EventKind
from bridge.fdl import quantities
from bridge.fdl.model import ProviderRef, StoragePath
from bridge.operate.audit import Explanation
from bridge.operate.deployed import Deployed, Status
from bridge.operate.lines import Line
from bridge.operate.lines import follow as followed
from bridge.operate.submit import Submitted, check_filters, not_over, uploaded
from bridge.operate.transfer import NamedFile, Place, put
from bridge.secret import HIDDEN, Secret
from bridge.storage import open_store
from bridge.targets import JobState
from bridge.targets.oscar import OscarClient, RemoteJob, RemoteService

__all__ = ["ClusterSide"]

_AT_ONCE: Final = 8
_NEWEST: Final = 20
_PAUSE: Final = 1.0
_PATIENCE: Final = 900.0
_DEPLOYMENT: Final = "oscar-bridge/deployment"
_STATES: Final = {
    "Running": JobState.RUNNING,
    "Succeeded": JobState.SUCCEEDED,
    "Failed": JobState.FAILED,
}
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,6})?\d*(Z|[+-]\d\d:\d\d) ?")


class ClusterSide:
    """The services of one cluster that its user sees. See `bridge.operate.sides.Side`."""

    scheme = "minio"
    region = ""

    def __init__(self, client: OscarClient) -> None:
        self.name = f"cluster {client.id}"
        self._client = client

    def statuses(self) -> list[Status]:
        """See `Side.statuses`; services of others that the user may see are among them."""
        return [_status(one, self._client.id) for one in self._client.services()]

    def has(self, service: str) -> bool:
        """See `Side.has`."""
        return self._client.service(service) is not None

    def _service(self, name: str) -> RemoteService:
        found = self._client.service(name)
        if found is None:
            raise NotFoundError(
                f"there is no service {name!r} on {self.name}", hint="oscar-bridge ls lists them"
            )
        return found

    # --- jobs -------------------------------------------------------------------------------

    def jobs(self, service: str, states: Sequence[JobState], limit: int) -> list[JobRecord]:
        """See `Side.jobs`; of each the time when it began is the oldest that is known."""
        names = [service] if service else [one.name for one in self._client.services()]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = [job for some in pool.map(self._listed, names) for job in some]
        wanted = [job for job in found if not states or job.state in states]
        return heapq.nlargest(limit, wanted, key=lambda job: job.accepted)

    def _listed(self, service: str) -> list[JobRecord]:
        now = time.time()
        return [_record(one, service, self._client.id, now) for one in self._client.jobs(service)]

    def job(self, job: str) -> JobDetail | None:
        """See `Side.job`; a cluster knows neither attempts nor decisions nor outputs."""
        for service in self._client.services():
            # Upstream's own names begin with no more than this of the service's.
            if not job.startswith(service.name[:16]):
                continue
            for one in self._listed(service.name):
                if one.id == job:
                    return JobDetail(one, attempts=(_attempt(one),))
        return None

    def explained(self, name: str) -> Explanation | None:
        """See `Side.explained`: our manager answers, upstream's keeps no decisions."""
        found = self._client.decision(name) or self._client.decision_now(name)
        return None if found is None else Explanation.of(found)

    def compared(self, policy: str, service: str, since: float, limit: int) -> dict[str, Any]:
        """See `Side.compared`: the manager does it."""
        start = datetime.datetime.fromtimestamp(since, datetime.UTC).isoformat()
        query = {"policy": policy, "service": service, "start": start, "limit": str(limit)}
        try:
            return dict(self._client.compared({k: v for k, v in query.items() if v}))
        except NotFoundError as error:
            raise NotFoundError(
                f"{self.name} keeps no decisions, or not that service: {error.message}"
            ) from None

    def known(self, service: str) -> frozenset[str]:
        """See `Side.known`."""
        return frozenset(one.name for one in self._client.jobs(service))

    # --- logs -------------------------------------------------------------------------------

    def lines(self, service: str, since: float, *, follow: bool) -> Iterator[Line]:
        """See `Side.lines`; of the newest 20 jobs."""
        self._service(service)
        read = partial(self._recent, service)
        return followed(read, since) if follow else read(since)

    def _recent(self, service: str, since: float) -> Iterator[Line]:
        jobs = self.jobs(service, (), _NEWEST)
        open_since = [one for one in jobs if one.ended is None or one.ended >= since]
        found = [self._log(service, one.id, since) for one in open_since]
        return heapq.merge(*found, key=lambda line: line.at)

    def _log(self, service: str, job: str, since: float) -> list[Line]:
        """A job's lines since a time; none of one that has no log yet, or none any more."""
        try:
            lines = self._client.log(service, job, timestamps=True)
        except NotFoundError:
            return []
        found = (_line(text, self._client.id, job, n) for n, text in enumerate(lines))
        return [one for one in found if one.at >= since or not one.at]

    def lines_of(
        self, service: str, job: str, since: float, *, follow: bool, said: Callable[[str], None]
    ) -> Iterator[Line]:
        """See `Side.lines_of`."""
        self._one(service, job)
        read = partial(self._log, service, job)
        over = lambda: self._one(service, job).state.final  # noqa: E731
        yield from followed(read, since, over=over) if follow else read(since)
        ended = self._one(service, job)
        if ended.state is not JobState.SUCCEEDED:
            said(f"job {job} is {ended.state} on {self.name}")

    def _one(self, service: str, job: str) -> JobRecord:
        for one in self._listed(service):
            if one.id == job:
                return one
        hint = f"oscar-bridge jobs {service}"
        raise NotFoundError(f"there is no job {job} of {service} on {self.name}", hint=hint)

    # --- files ------------------------------------------------------------------------------

    def place(self, service: str, *, outputs: bool) -> Place:
        """See `Side.place`."""
        found = self._service(service)
        paths = _paths(found, "output" if outputs else "input")
        places = dict.fromkeys((str(one.provider), one.path) for one in paths)
        if not paths:
            kind = "output" if outputs else "input"
            hint = "name a URL: minio://BUCKET/FOLDER"
            raise UsageError(f"service {service} has no {kind} path", hint=hint)
        if outputs and len(places) > 1:
            urls = ", ".join(f"{provider}:{path}" for provider, path in places)
            raise UsageError(
                f"service {service} does not have one output folder", hint=f"it has: {urls}"
            )
        return self._at(found, paths[0])

    def _at(self, service: RemoteService, path: StoragePath) -> Place:
        """A path of a service: in the cluster's MinIO, or where the service says."""
        if path.provider == ProviderRef("minio"):
            settings, keys = self._client.storage()
        else:
            settings, keys = _provider(service, path.provider)
        store = open_store(str(path.provider), settings, keys)
        return Place(store, path.bucket, path.folder, path.provider.type)

    def bucket(self, url: str) -> Place:
        """See `Side.bucket`: `minio://bucket/folder` in the cluster's MinIO."""
        scheme, _, rest = url.partition("://")
        bucket, _, folder = rest.partition("/")
        if scheme != self.scheme or not bucket:
            raise UsageError(f"{url!r} is not a minio:// URL", hint="write minio://BUCKET/FOLDER")
        settings, keys = self._client.storage()
        store = open_store("minio.default", settings, keys)
        return Place(store, bucket, folder.strip("/"), self.scheme)

    # --- requests ---------------------------------------------------------------------------

    def invoke(self, service: str, body: bytes) -> bytes:
        """See `Side.invoke`: `/run`, which waits for 15 minutes at most."""
        return self._client.run(service, _sent(body), _PATIENCE)

    def submit(
        self, service: str, files: Sequence[NamedFile], done: Callable[[Submitted], None]
    ) -> list[Submitted]:
        """See `Side.submit`: below an input in the cluster's MinIO, else `/job` for each file.

        UsageError when the service's filters would not take a file.
        """
        found = self._service(service)
        paths = [one for one in _paths(found, "input") if one.provider == ProviderRef("minio")]
        if paths:
            check_filters(paths[0], files)
            moved = put(self._at(found, paths[0]), files, lambda one: done(uploaded(one)))
            return [uploaded(one) for one in moved]
        handed = []
        for file in files:
            handed.append(self._job(service, file))
            done(handed[-1])
        return handed

    def _job(self, service: str, file: NamedFile) -> Submitted:
        """A file as the body of a job; its name is ours, so that it can be found again."""
        name = f"{service[:30].strip('-')}-{secrets.token_hex(16)}"
        body = file.path.read_bytes()
        headers = {"X-Delegated-Job-ID": name, "X-Delegated-From": "oscar-bridge"}
        try:
            self._client.submit(service, _sent(body), headers)
        except BridgeError as error:
            return Submitted(file.path, problem=f"{file.path}: {error.message}")
        return Submitted(file.path, jobs=(name,), size=len(body))

    def awaited(
        self,
        service: str,
        handed: Sequence[Submitted],
        known: frozenset[str],
        *,
        timeout: float,
    ) -> Iterator[JobRecord]:
        """See `Side.awaited`. A cluster does not say which object started a job: new jobs of the
        service count for uploads, whoever caused them."""
        waiting = [one for one in handed if not one.problem]
        named = {job for one in waiting for job in one.jobs}
        wanted = len(waiting)
        until = time.monotonic() + timeout
        told: set[str] = set()
        while len(told) < wanted:
            for job in self._listed(service):
                ours = job.id in named if named else job.id not in known
                if ours and job.state.final and job.id not in told:
                    told.add(job.id)
                    yield job
            if len(told) < wanted and time.monotonic() > until:
                raise not_over(service, wanted - len(told), timeout)
            if len(told) < wanted:
                time.sleep(_PAUSE)


def _status(service: RemoteService, cluster: str) -> Status:
    document = service.document
    try:
        memory: tuple[int, ...] = (quantities.memory(str(document.get("memory"))) // 2**20,)
    except quantities.QuantityError:
        memory = ()
    image = document.get("image")
    return Status(
        Deployed(service.name, deployment=service.annotation(_DEPLOYMENT), targets=(cluster,)),
        images=(str(image),) if image else (),
        memory=memory,
    )


def _record(job: RemoteJob, service: str, cluster: str, now: float) -> JobRecord:
    moments = [at for at in (job.created, job.started, job.finished) if at is not None]
    return JobRecord(
        job.name,
        service,
        Event(EventKind.UNKNOWN),
        _STATES.get(job.status, JobState.SUBMITTED),
        target=cluster,
        handle=job.name,
        accepted=min(moments, default=now),
        started=job.started,
        ended=job.finished,
    )


def _attempt(job: JobRecord) -> Attempt:
    return Attempt(
        1, job.target, job.state, handle=job.handle, started=job.started, ended=job.ended
    )


def _line(text: str, cluster: str, job: str, number: int) -> Line:
    """A line that begins with its time; one without has the time 0."""
    stamp = _STAMP.match(text)
    if stamp is None:
        return Line(0.0, cluster, job, text, str(number))
    moment = stamp[1] + (stamp[2] or "") + stamp[3]
    at = datetime.datetime.fromisoformat(moment).timestamp()
    return Line(at, cluster, job, text[stamp.end() :], str(number))


def _paths(service: RemoteService, key: str) -> list[StoragePath]:
    found = []
    for one in service.paths(key):
        kind, _, name = str(one.get("storage_provider", "")).partition(".")
        provider: Any = ProviderRef(kind.lower(), name or "default")  # type: ignore[arg-type]
        found.append(
            StoragePath(
                provider,
                str(one.get("path", "")).strip("/ "),
                prefix=_texts(one.get("prefix")),
                suffix=_texts(one.get("suffix")),
            )
        )
    return found


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, Iterable) and value else ()


def _provider(service: RemoteService, ref: ProviderRef) -> tuple[dict[str, Any], dict[str, Secret]]:
    """What the service shows of a provider; credentials that it hides are this user's own."""
    found: object = service.document.get("storage_providers")
    for key in (ref.type, ref.id):
        found = found.get(key) if isinstance(found, Mapping) else None
    shown = found if isinstance(found, Mapping) else {}
    keys = ("access_key", "secret_key", "session_token")
    settings = {key: value for key, value in shown.items() if key not in keys and value}
    secrets_shown = {
        key: Secret(str(shown[key])) for key in keys if shown.get(key) not in (None, "", HIDDEN)
    }
    return settings, secrets_shown


def _sent(body: bytes) -> bytes:
    """The body as every generation understands it: a JSON object as it is, all else in base64."""
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    return body if isinstance(value, dict) else b64encode(body)
