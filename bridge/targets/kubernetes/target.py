"""Target `kubernetes`: each attempt of a job is a Job of the cluster, named after it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from bridge.errors import (
    BridgeError,
    NotFoundError,
    PermanentError,
    TargetUnavailable,
)
from bridge.fdl.model import ProviderRef, Service, TargetSpec
from bridge.images import runtime_image_name
from bridge.targets.kubernetes._logs import log_lines
from bridge.targets.kubernetes._manifests import (
    dropped,
    event_secrets,
    job_manifest,
    service_manifests,
)
from bridge.targets.kubernetes._names import (
    JOB,
    JOB_ID,
    job_label,
    job_name,
    object_name,
    providers_name,
    secret_name,
)
from bridge.targets.kubernetes._patrol import do, pods_of
from bridge.targets.kubernetes._prefetch import prefetch, wants_prefetch
from bridge.targets.kubernetes._standing import job_end
from bridge.targets.kubernetes._tracker import Followed, Tracker
from bridge.targets.kubernetes._watch import PodWatch
from bridge.targets.kubernetes._withdraw import is_fence, let_go, withdraw
from bridge.targets.kubernetes.connection import (
    MANAGED_BY,
    MANAGER,
    SERVICE,
    AlreadyThere,
    Connection,
    is_ours,
)
from bridge.targets.kubernetes.resources import CONFIG_MAPS, JOBS, PODS, SECRETS
from bridge.targets.kubernetes.volumes import Volumes
from bridge.targets.news import News
from bridge.targets.protocol import Job, JobUpdate
from bridge.targets.render import ProviderAccess

__all__ = ["KubernetesTarget"]

_LOG: Final = logging.getLogger("bridge.targets.kubernetes")
_ALL_JOBS: Final = f"{MANAGED_BY}={MANAGER},{JOB}"
_PATROL_SECONDS: Final = 0.5
_PAUSE_SECONDS: Final = 5.0
# What an old API server may leave out of a Job without harm: the Job stays until it is deleted.
_HARMLESS: Final = frozenset({"spec.ttlSecondsAfterFinished"})


class KubernetesTarget:
    """Runs services as Jobs in the namespace of a connection.

    A submit is one call (two when the event is large), and one watch brings the news of all jobs.
    A second submit of an attempt finds its Job, whoever made it; the handle is the Job's name. Jobs
    are never retried by the cluster: where it deletes a pod (a drained or lost node), the Job goes
    too, and the job is FAILED and temporary. So is one whose pod cannot start for the settings'
    `start_timeout`, unless no other try could help.

    `forget` leaves a Job, and with it its log, until its time to live is over. `access` holds the
    storage providers as pods of the cluster reach them.
    """

    def __init__(
        self,
        spec: TargetSpec,
        connection: Connection,
        access: Mapping[ProviderRef, ProviderAccess],
    ) -> None:
        self.spec = spec
        self.connection = connection
        self.volumes = Volumes(connection)
        self._access = access
        self._lock = threading.Lock()
        self._services: dict[str, Service] = {}
        self._runtime = connection.settings.runtime_image
        self._news = News()
        self._tracker = Tracker(self._news, connection.settings.start_timeout)
        self._watch: PodWatch | None = None
        self._next_patrol = 0.0
        # Since when the cluster does not answer what has become of an attempt.
        self._unsure: dict[str, float] = {}

    @property
    def runtime_image(self) -> str:
        """The image that brings the runtime: the settings', else as this machine would name it."""
        if not self._runtime:
            self._runtime = runtime_image_name()
        return self._runtime

    def deploy(self, services: Sequence[Service]) -> None:
        """Apply a ConfigMap, Secrets and a new volume's claim of each service."""
        namespace = self.connection.namespace
        for service in services:
            manifests = service_manifests(service, self._access, namespace)
            for manifest in manifests:
                self.connection.apply(manifest)
            self._remove_stale(service.name, {one["metadata"]["name"] for one in manifests[1:]})
            self._services[service.name] = service
        prefetch(self.connection, [one for one in services if wants_prefetch(one)])

    def _remove_stale(self, service: str, wanted: set[str]) -> None:
        """Secrets that the service had and has no more."""
        for name in {secret_name(service), providers_name(service)} - wanted:
            found = self.connection.find(SECRETS, name)
            if found is not None and is_ours(found, object_name(service)):
                self.connection.delete(SECRETS, name)

    def remove(self, services: Sequence[str]) -> None:
        """Delete all objects of the services but volumes, their Jobs too: running ones end."""
        for name in services:
            self._services.pop(name, None)
            open_ = [one for one in self._tracker.of_service(name) if not one.over]
            for one in open_:
                one.cancelled = True
            labels = f"{SERVICE}={object_name(name)}"
            for resource in (JOBS, CONFIG_MAPS, SECRETS):
                self.connection.delete_all(resource, labels)
            for one in open_:
                self._stopped(one)

    def submit(self, job: Job) -> str:
        """Create the Job of an attempt, unless it is there; the handle is its name."""
        service = self._services.get(job.service)
        if service is None:
            raise NotFoundError(f"service {job.service} is not deployed on {self.spec.name}")
        followed, fresh = self._tracker.begin(job)
        if fresh:
            # Followed from before it exists: its news may be faster than the answer.
            try:
                self._start_watch()
                self._create(service, job, followed)
            except BaseException as error:
                self._tracker.drop(job.id)
                if isinstance(error, TargetUnavailable):
                    self._unsure.setdefault(job.id, time.monotonic())
                raise
            self._unsure.pop(job.id, None)
            if followed.cancelled:
                # While it was being made: the cancel found nothing to delete.
                self.connection.delete(JOBS, followed.name)
        return followed.name

    def has_let_go(self, job: Job, since: float | None) -> bool:
        """Whether the cluster has no Job of the attempt, whichever process has submitted it; True,
        too, when it does not answer for longer than a pod may take to start."""
        del since  # The Job's name says it all.
        asked = self._unsure.setdefault(job.id, time.monotonic())
        try:
            gone = let_go(self.connection, job, job_name(job.id, job.attempt))
        except BridgeError:
            gone = time.monotonic() - asked >= self.connection.settings.start_timeout
            if not gone:
                return False
        self._unsure.pop(job.id, None)
        return gone

    def _create(self, service: Service, job: Job, followed: Followed) -> None:
        namespace = self.connection.namespace
        manifest = job_manifest(
            service,
            job,
            self._access,
            self.connection.settings,
            namespace=namespace,
            runtime_image=self.runtime_image,
        )
        try:
            made = self.connection.create(manifest)
            self._check(manifest, made)
        except AlreadyThere:
            made = self._there(job, followed)
        for secret in event_secrets(service, job, namespace, made["metadata"]["uid"]):
            with contextlib.suppress(AlreadyThere):
                self.connection.create(secret)

    def _check(self, wanted: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        """An API server that is too old for a field drops it silently: the job would run without a
        limit, or where it must not."""
        lost = [path for path in dropped(wanted, made) if path not in _HARMLESS]
        if lost:
            self.connection.delete(JOBS, wanted["metadata"]["name"])
            raise PermanentError(
                f"cluster {self.connection.name} dropped {', '.join(lost)} of the Job that it made",
                hint=f"its API server ({self.connection.version()}) is too old for this service",
            )

    def _there(self, job: Job, followed: Followed) -> dict[str, Any]:
        """The Job that an earlier submit has made, and what has become of it since."""
        found = self.connection.find(JOBS, followed.name)
        if found is None or found["metadata"].get("deletionTimestamp"):
            raise TargetUnavailable(f"Job {followed.name} is being deleted")
        if is_fence(found):
            raise TargetUnavailable(f"attempt {job.attempt} of job {job.id} was withdrawn")
        owner = (found["metadata"].get("annotations") or {}).get(JOB_ID)
        if owner != job.id:
            raise PermanentError(
                f"Job {followed.name} in namespace {self.connection.namespace} exists and is not"
                f" of job {job.id}"
            )
        pods = pods_of(followed, self.connection)
        for pod in pods:
            self._tracker.changed(pod, False)
        if not pods and job_end(found) is not None:
            self._tracker.look(followed)
        return found

    def poll(self) -> Iterable[JobUpdate]:
        """News, from the watch; raises when the watch cannot go on without help."""
        watch = self._watch
        if watch is not None and watch.trouble is not None:
            raise watch.trouble
        self._patrol()
        return self._news.take()

    def _patrol(self) -> None:
        """See to the few jobs that need more than watching."""
        if time.monotonic() < self._next_patrol:
            return
        self._next_patrol = time.monotonic() + _PATROL_SECONDS
        for errand in self._tracker.errands():
            try:
                do(errand, self.connection, self._tracker)
            except BridgeError as error:
                # The others would fare no better, and the news must not wait for them.
                _LOG.warning("%s; trying again", error)
                self._next_patrol = time.monotonic() + _PAUSE_SECONDS
                return

    def on_news(self, wake: Callable[[], None]) -> None:
        """Call `wake`, from any thread, whenever `poll` has something new; it returns at once."""
        self._news.on_news(wake)

    def forget(self, job: str) -> None:
        """Do not report the job any more; its Job stays until its time to live is over."""
        self._tracker.drop(job)
        self._unsure.pop(job, None)

    def cancel(self, job: str) -> None:
        """Delete the Job; the news come when its pod has ended."""
        self._unsure.pop(job, None)
        one = self._tracker.get(job)
        if one is None:
            self.connection.delete_all(JOBS, f"{JOB}={job_label(job)}")
            return
        if one.over:
            return
        one.cancelled = True
        self.connection.delete(JOBS, one.name, foreground=True)
        self._stopped(one)

    def withdraw(self, job: Job, handle: str) -> bool | None:
        """See `bridge.dispatch.protocol.Withdraws`: what has no node yet is given back."""
        del handle
        one, name = self._tracker.get(job.id), job_name(job.id, job.attempt)
        followed = one if one is not None and one.name == name else None
        return withdraw(self.connection, job, name, followed)

    def _stopped(self, one: Followed) -> None:
        """A Job is being deleted: the end of its pod is the job's, if it has one."""
        if not one.pod and not pods_of(one, self.connection):
            self._tracker.cancelled(one)

    def logs(self, job: str) -> Iterator[str]:
        """Lines of the last attempt's log, after those of a failed container before it; nothing
        for a job without a pod. Also for jobs that are forgotten."""
        return self.log(job)

    def log(self, job: str, *, follow: bool = False, timestamps: bool = False) -> Iterator[str]:
        """The same; with `follow` until the job ends, with `timestamps` each line begins with an
        RFC 3339 time and a space."""
        return log_lines(self.connection, job, follow=follow, timestamps=timestamps)

    def has_log(self, job: str) -> bool:
        """See KeepsLogs: whether a pod of the job is there."""
        return bool(self.connection.find_all(PODS, labels=f"{JOB}={job_label(job)}"))

    def close(self) -> None:
        """End the watch; jobs go on."""
        with self._lock:
            watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    def _start_watch(self) -> None:
        with self._lock:
            if self._watch is None:
                self._watch = PodWatch(
                    self.connection, _ALL_JOBS, self._tracker.changed, self._tracker.listed
                )
