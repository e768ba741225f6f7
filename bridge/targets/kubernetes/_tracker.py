"""The jobs that a target follows, and what their pods' changes mean for them. No calls from here.

What has to be asked of the cluster, or done there, is left in `errands` for whoever may call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, Literal

from bridge.targets.kubernetes._names import job_name
from bridge.targets.kubernetes._standing import (
    Kind,
    Waiting,
    disruption,
    final_update,
    standing,
)
from bridge.targets.news import News
from bridge.targets.protocol import Job, JobState, JobUpdate

__all__ = ["Errand", "Followed", "Tracker"]

_LOOK_AGAIN: Final = 60.0
_LEAVING: Final = 120.0  # seconds: a pod that is still there then has no node that would end it
_AT_ONCE: Final = 20  # so that nobody waits long for the news of the others

Task = Literal["look", "end", "withdraw"]


@dataclass(slots=True, eq=False)
class Followed:
    """One attempt of a job. `pod` is the uid of its pod; `since` is when `kind` began.

    `task` is what is to be done about it, for the reason in `text`. `withdrawn` says that its Job
    was deleted because the cluster deletes its pod, `succeeded` that its pod has told so.
    """

    job: str
    service: str
    attempt: int
    name: str
    since: float
    pod: str = ""
    kind: Kind = ""
    text: str = ""
    running: bool = False
    cancelled: bool = False
    withdrawn: bool = False
    over: bool = False
    succeeded: bool = False
    looked: float = 0.0
    task: Task | None = None


@dataclass(frozen=True, slots=True)
class Errand:
    """Something to do about an attempt: `look` what its Job says, `end` it for `reason`, or
    `withdraw` its Job and wait for the end of its pod."""

    followed: Followed
    task: Task
    reason: str = ""
    temporary: bool = True


class Tracker:
    """Follows attempts from before they are submitted until they are forgotten. Thread-safe.

    `patience` is how many seconds a pod may be unable to start.
    """

    def __init__(
        self, news: News, patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._news = news
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._by_job: dict[str, Followed] = {}
        self._by_name: dict[str, Followed] = {}

    def begin(self, job: Job) -> tuple[Followed, bool]:
        """Follow an attempt from now on; True when that is new. It ends that of an earlier one."""
        with self._lock:
            there = self._by_job.get(job.id)
            if there is not None and there.attempt >= job.attempt:
                return there, False
            if there is not None:
                self._by_name.pop(there.name, None)
            name = job_name(job.id, job.attempt)
            made = Followed(job.id, job.service, job.attempt, name, self._clock())
            self._by_job[job.id] = self._by_name[name] = made
        self._news.forget(job.id)
        return made, True

    def drop(self, job: str) -> None:
        """Do not follow a job any more."""
        with self._lock:
            there = self._by_job.pop(job, None)
            if there is not None:
                self._by_name.pop(there.name, None)
        self._news.forget(job)

    def get(self, job: str) -> Followed | None:
        """The attempt that is followed."""
        with self._lock:
            return self._by_job.get(job)

    def of_service(self, service: str) -> list[Followed]:
        """What is followed of a service."""
        with self._lock:
            return [one for one in self._by_job.values() if one.service == service]

    # --- what the watch says ----------------------------------------------------------------

    def changed(self, pod: Mapping[str, Any], deleted: bool) -> None:
        """A pod is there, has changed, or is gone."""
        one = self._followed(pod)
        if one is None:
            return
        there, uid = standing(pod), str(pod["metadata"]["uid"])
        if one.kind == "leaving" and uid != one.pod:
            # The Job's next pod, which goes with the Job: the end of the first one is waited for.
            return
        one.pod = uid
        if there.state == "ended":
            self._finish(one, final_update(one.job, one.attempt, pod))
        elif deleted:
            self._lost(one, disruption(pod))
        elif there.leaving and not one.cancelled:
            # Its Job would start another pod elsewhere while this one may still run.
            self._leaving(one, disruption(pod))
        elif there.state == "running":
            self._runs(one, pod, there.started)
        else:
            self._waits(one, there.waiting)

    def listed(self, there: set[str]) -> None:
        """These pods are all that there are: others that were seen are gone."""
        with self._lock:
            missing = [
                one
                for one in self._by_name.values()
                if one.pod and not one.over and one.pod not in there
            ]
        for one in missing:
            self._lost(one, "")

    def _followed(self, pod: Mapping[str, Any]) -> Followed | None:
        name = pod["metadata"].get("labels", {}).get("job-name")
        with self._lock:
            one = self._by_name.get(name)
        return None if one is None or one.over else one

    def _runs(self, one: Followed, pod: Mapping[str, Any], started: float | None) -> None:
        one.kind = ""
        if one.running:
            return
        one.running = True
        log = f"{pod['metadata'].get('namespace')}/{pod['metadata']['name']}"
        self._tell(one, JobState.RUNNING, started=started, log=log)

    def _waits(self, one: Followed, waiting: Waiting) -> None:
        if waiting.kind != one.kind:
            one.kind, one.since, one.text = waiting.kind, self._clock(), ""
        if waiting.hopeless:
            one.text, one.task = waiting.text, "end"
            self._tell(one, JobState.SUBMITTED, waiting.text)
        elif waiting.text and waiting.text != one.text:
            one.text = waiting.text
            self._tell(one, JobState.SUBMITTED, waiting.text)

    def _leaving(self, one: Followed, why: str) -> None:
        if one.kind == "leaving":
            return
        one.kind, one.since, one.task = "leaving", self._clock(), "withdraw"
        one.text = f"its pod was deleted: {why}" if why else "its pod was deleted"
        self._tell(one, JobState.SUBMITTED, one.text)

    def _lost(self, one: Followed, why: str) -> None:
        if one.cancelled:
            self.cancelled(one)
        elif one.withdrawn:
            self.failed(one, one.text, temporary=True)
        else:
            one.kind, one.task = "", "look"
            one.text = f"its pod is gone: {why}" if why else one.text or "its pod is gone"
            self._tell(one, JobState.SUBMITTED, one.text)

    # --- what is to be done, and what came of it --------------------------------------------

    def errands(self) -> list[Errand]:
        """Some of what is due now. An errand comes again until something has come of it."""
        now = self._clock()
        with self._lock:
            open_ = [one for one in self._by_name.values() if not (one.over or one.cancelled)]
        due = (errand for one in open_ if (errand := self._errand(one, now)) is not None)
        return list(islice(due, _AT_ONCE))

    def _errand(self, one: Followed, now: float) -> Errand | None:
        if one.task is not None:
            return Errand(one, one.task, one.text, temporary=one.kind != "image")
        if one.kind == "leaving":
            text = f"{one.text}; its node does not end it"
            return Errand(one, "end", text) if now - one.since >= _LEAVING else None
        return None if one.running else self._unstarted(one, now)

    def _unstarted(self, one: Followed, now: float) -> Errand | None:
        late = now - one.since >= self._patience
        if one.kind in ("image", "container", "place"):
            text = f"{one.text or 'its image cannot be pulled'} (for {self._patience:g} s)"
            return Errand(one, "end", text, temporary=one.kind != "container") if late else None
        if late or (not one.pod and now - max(one.since, one.looked) >= _LOOK_AGAIN):
            one.looked = now
            return Errand(one, "look")
        return None

    def withdrawn(self, one: Followed) -> None:
        """Its Job is being deleted; the end of its pod is the end of it."""
        one.withdrawn, one.task = True, None

    def look(self, one: Followed) -> None:
        """Its Job is to be looked at: it may be over already."""
        one.task = "look"

    def is_late(self, one: Followed) -> bool:
        """Whether its pod has not started for too long."""
        return not one.running and self._clock() - one.since >= self._patience

    def patient(self, one: Followed, why: str) -> None:
        """Nothing speaks against it: wait once more."""
        one.since = self._clock()
        if why and why != one.text:
            one.text = why
            self._tell(one, JobState.SUBMITTED, why)

    def failed(self, one: Followed, reason: str, *, temporary: bool) -> None:
        """It is over, and its Job does not run any more."""
        state = JobState.FAILED
        update = JobUpdate(one.job, state, handle=one.name, reason=reason, temporary=temporary)
        self._finish(one, replace(update, attempt=one.attempt, ended=time.time()))

    def succeeded(self, one: Followed) -> None:
        """Its Job says so, and nothing is left that says more."""
        update = JobUpdate(one.job, JobState.SUCCEEDED, handle=one.name, attempt=one.attempt)
        self._finish(one, replace(update, ended=time.time()))

    def cancelled(self, one: Followed) -> None:
        """It was cancelled, and its pod is gone."""
        update = JobUpdate(one.job, JobState.CANCELLED, handle=one.name, reason="cancelled")
        self._finish(one, replace(update, attempt=one.attempt, ended=time.time()))

    def _finish(self, one: Followed, update: JobUpdate) -> None:
        with self._lock:
            if one.over:
                return
            one.over, one.task = True, None
            one.succeeded = update.state is JobState.SUCCEEDED
        if one.cancelled and update.state is not JobState.SUCCEEDED:
            update = replace(update, state=JobState.CANCELLED, temporary=False)
        self._put(one, update)

    def _tell(
        self,
        one: Followed,
        state: JobState,
        reason: str = "",
        *,
        started: float | None = None,
        log: str = "",
    ) -> None:
        update = JobUpdate(one.job, state, handle=one.name, started=started, reason=reason, log=log)
        self._put(one, replace(update, attempt=one.attempt))

    def _put(self, one: Followed, update: JobUpdate) -> None:
        if self.get(one.job) is one:
            self._news.put(update)
