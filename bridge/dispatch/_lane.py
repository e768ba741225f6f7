"""One target's share of the work: placed → submitted → running → over."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, NamedTuple

from bridge.dispatch import steps
from bridge.dispatch._bundles import Bundler
from bridge.dispatch._core import LOG, Core
from bridge.dispatch._news import Watched, understood, watched
from bridge.dispatch._waiting import patience
from bridge.dispatch.model import Change, JobRecord
from bridge.dispatch.protocol import Bundles, Forgets, Leases, Notifies, Withdraws
from bridge.errors import BridgeError, PermanentError, TargetUnavailable, TemporaryError, WaitError
from bridge.targets import Job, JobState, JobUpdate, Target

__all__ = ["Lane"]

_IDLE: Final = 1.0


class _Resume(NamedTuple):
    """A job that was with the target before a restart, to be handed over once more."""

    due: float
    record: JobRecord


def _job(record: JobRecord) -> Job:
    return Job(record.id, record.service, record.event, record.attempt, record.trace)


class Lane:
    """Submits jobs to one target, in parallel and within its limits, and follows their news."""

    def __init__(self, core: Core, name: str, target: Target) -> None:
        self.name = name
        self.wake = threading.Event()
        self._core = core
        self._target = target
        self._news = threading.Event()
        self._pause = core.settings.poll_min
        self._polling = threading.Lock()
        self._lock = threading.Lock()
        self._watch: dict[str, Watched] = {}
        self._with_target: set[str] = set()
        self._resume: list[_Resume] = []
        self._late: list[JobUpdate] = []
        self._flying: set[str] = set()
        self._held: dict[str, JobRecord] = {}
        self._handed: deque[tuple[JobRecord, Change]] = deque()
        self._recording = threading.Lock()
        self._submitting = 0
        self._paused = 0.0
        self._healthy = True
        slots = target.spec.slots
        parallel = core.settings.parallel_submits
        self._parallel = min(slots, parallel) if slots else parallel
        self._room = 2 * slots if slots else core.settings.outstanding
        self._bundling = 0
        self._bundler = None
        if isinstance(target, Bundles):
            self._bundler = Bundler(core, target, self)
            self._room = max(self._room, target.bundle_sizes[1])
        self._pool = ThreadPoolExecutor(self._parallel, thread_name_prefix=f"submit-{name}")
        if isinstance(target, Notifies):
            target.on_news(self._news.set)

    def close(self) -> None:
        """Wait for the submits that are under way; the others stay in the store."""
        self.wake.set()
        self._news.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def resume(self, records: Sequence[JobRecord]) -> None:
        """Follow jobs that were with the target already: ask for news, then submit them again."""
        now = self._core.clock()
        for record in records:
            self._begin(record)
        with self._lock:
            self._with_target.update(r.id for r in records)
            self._resume += [_Resume(now, record) for record in records if not record.moving]
            self._held |= {record.id: record for record in records if record.moving}
        self.wake.set()
        self._core.moving.set()

    def drop(self, job: str) -> None:
        """The job is over for us."""
        with self._lock:
            self._watch.pop(job, None)
            self._with_target.discard(job)
            self._held.pop(job, None)
            self._paused = 0.0
        self.wake.set()

    def stop(self, record: JobRecord) -> None:
        """Tell the target to cancel; raises what the target raises."""
        if isinstance(self._target, Bundles) and record.handle:
            self._target.follow(record.id, record.attempt, record.handle, record.service)
        try:
            self._target.cancel(record.id)
        except PermanentError:
            # Nobody tells again, and what is followed for ever takes a place of those that run.
            self.drop(record.id)
            raise
        self.drop(record.id)

    # --- submitting -------------------------------------------------------------------------

    def submit_loop(self) -> None:
        """The submitting thread's work until the dispatcher stops."""
        self._core.loop(self._submit_step)

    def _submit_step(self) -> None:
        self.wake.clear()
        resumed = self._resume_due()
        wait = self._submit_due()
        if not resumed and wait > 0:
            self.wake.wait(wait)

    def _resume_due(self) -> bool:
        now = self._core.clock()
        with self._lock:
            due = [r.record for r in self._resume if r.due <= now]
            self._resume = [r for r in self._resume if r.due > now]
        try:
            if due:
                # What has ended meanwhile is not to be run again.
                self._poll()
        except BaseException:
            with self._lock:
                self._resume += [_Resume(now, record) for record in due]
            raise
        for record in due:
            if record.id in self._watch and record.id not in self._held:
                self._hand_over(record)
        return bool(due)

    def _submit_due(self) -> float:
        """Submit what there is room for; how long to wait before the next look, in seconds."""
        core, now = self._core, self._core.clock()
        room = self._free(now)
        if room <= 0:
            return max(0.001, min(_IDLE, self._paused - now)) if self._paused > now else _IDLE
        due = core.store.next_due(JobState.PLACED, now, self.name)
        if due is None or due > now:
            return _IDLE if due is None else min(_IDLE, due - now)
        records = core.store.claim(core.owner, JobState.PLACED, now, room, self.name)
        for record in records:
            self._begin(record)
        bundles, alone = self._bundler.sorted(records) if self._bundler else ([], records)
        for record in alone:
            self._hand_over(record)
        for bundle in bundles:
            self._hand_over_all(bundle)
        return 0.0

    def _free(self, now: float) -> int:
        """How many jobs may be claimed now."""
        with self._lock:
            # Few claims of many jobs are cheaper than many of few.
            if self._paused > now or self._submitting > self._parallel:
                return 0
            if self._bundler:
                # While one bundle is on its way, the next one gathers.
                return 0 if self._bundling else self._room - len(self._watch)
            return min(self._room - len(self._watch), 4 * self._parallel - self._submitting)

    # --- giving back ------------------------------------------------------------------------

    @property
    def held(self) -> list[JobRecord]:
        """Jobs that the target is asked to give back."""
        with self._lock:
            return list(self._held.values())

    def hold(self, record: JobRecord) -> bool:
        """Do not submit the job any more; False where that comes too late, or it can never be
        given back."""
        if not isinstance(self._target, Withdraws):
            return False
        if record.state is JobState.PLACED:
            self._begin(record)
        with self._lock:
            known = self._watch.get(record.id)
            if known is None or known.state is JobState.RUNNING or record.id in self._flying:
                return False
            self._resume = [r for r in self._resume if r.record.id != record.id]
            self._held[record.id] = record
            known.moving = True
        self._core.moving.set()
        return True

    def unhold(self, job: str) -> None:
        """The job is not to be given back, or it has begun."""
        with self._lock:
            self._held.pop(job, None)
            if (entry := self._watch.get(job)) is not None:
                entry.moving = False

    def withdraw(self, record: JobRecord) -> bool | None:
        """See Withdraws, of a job that is held."""
        assert isinstance(self._target, Withdraws)
        try:
            return self._target.withdraw(_job(record), record.handle)
        except TemporaryError:
            if isinstance(self._target, Leases) and self._has_let_go(record):
                return True
            with self._lock:
                # Those behind it come first the next time.
                if (waits := self._held.pop(record.id, None)) is not None:
                    self._held[record.id] = waits
            raise

    def let_be(self, record: JobRecord) -> None:
        """The target does not give the job back; what we have not submitted has to be followed."""
        self.unhold(record.id)
        if record.moving or record.state is JobState.PLACED:
            self.resume([replace(record, moving=False, state=JobState.RUNNING)])

    def gone(self, job: str) -> None:
        """The job was given back: nothing that the target still says of it counts."""
        self._forget(job)

    # --- handing over -----------------------------------------------------------------------

    def _begin(self, record: JobRecord) -> None:
        """Follow the job from before its submit, as its news may be faster than our thread."""
        entry = watched(record, self._core)
        with self._lock:
            self._watch[record.id] = entry

    def _hand_over(self, record: JobRecord) -> None:
        with self._lock:
            self._submitting += 1
            self._flying.add(record.id)
        self._pool.submit(self._submit, record)

    def _hand_over_all(self, bundle: Sequence[JobRecord]) -> None:
        with self._lock:
            self._bundling += 1
            self._flying.update(record.id for record in bundle)
        self._pool.submit(self._submit_all, bundle)

    def _submit_all(self, bundle: Sequence[JobRecord]) -> None:
        assert self._bundler is not None
        try:
            self._bundler.submit(bundle)
        finally:
            with self._lock:
                self._bundling -= 1
                self._flying.difference_update(record.id for record in bundle)
            self.wake.set()

    def _submit(self, record: JobRecord) -> None:
        try:
            handle = self._fly(record)
            self.submitted(record, handle)
        except TemporaryError as error:
            self.refused(record, error)
        except BridgeError as error:
            self.finish(record, JobState.FAILED, error.message)
        except Exception as error:
            LOG.exception("submitting job %s to %s broke", record.id, self.name)
            self.refused(record, TemporaryError(f"submit broke: {error!r}"))
        finally:
            with self._lock:
                self._submitting -= 1
                low = self._submitting <= self._parallel
            if low:
                self.wake.set()

    def _fly(self, record: JobRecord) -> str:
        try:
            if record.handle and isinstance(self._target, Bundles):
                # The job may be one of many of a bundle, which `submit` knows nothing of.
                self._target.follow(record.id, record.attempt, record.handle, record.service)
                return record.handle
            self._core.prepare(record.service, self.name)
            return self._target.submit(_job(record))
        finally:
            with self._lock:
                self._flying.discard(record.id)

    def submitted(self, record: JobRecord, handle: str) -> None:
        """Record that the target has the job."""
        core, states = self._core, {record.state}
        core.known.submitted(self.name, ok=True)
        with self._lock:
            self._with_target.add(record.id)
            if (entry := self._watch.get(record.id)) is not None:
                entry.handle = handle
                states.add(entry.state)
        # A job that runs already only learns its handle.
        state = JobState.RUNNING if JobState.RUNNING in states else JobState.SUBMITTED
        change = Change(record.id, record.attempt, state, core.clock(), handle=handle)
        self._handed.append((record, change))
        self._record_handed()
        self._news.set()

    def _record_handed(self) -> None:
        """Store what was handed over: one thread does it for all, the others go on submitting.

        When we die before it is stored, the job is submitted again, which is the same run.
        """
        while self._handed and self._recording.acquire(blocking=False):
            try:
                batch = [self._handed.popleft() for _ in range(len(self._handed))]
                answers = self._core.persist([change for _, change in batch])
            finally:
                self._recording.release()
            for (record, _), answer in zip(batch, answers, strict=True):
                if answer is None and not self._core.stopping.is_set():
                    self._overtaken(record)

    def _overtaken(self, record: JobRecord) -> None:
        """The job moved on while it was being submitted: by its own news, or by a cancel, or
        because its service was deleted, which no target knows of (it has no handle then)."""
        store = self._core.store
        now = self._core.ask(lambda: store.job(record.id))
        if now is None or now.state.final or now.attempt != record.attempt:
            self.drop(record.id)
        if now is None or now.state not in (JobState.CANCELLED, JobState.FAILED):
            return
        unheard = now.state is JobState.CANCELLED or not now.handle
        if unheard and not self._try_stop(record.id):
            self._core.ask(lambda: store.stopped(record.id, done=False))

    def _try_stop(self, job: str) -> bool:
        """Tell the target to cancel; False when it may still hear it later."""
        try:
            self._target.cancel(job)
        except BridgeError as error:
            LOG.warning("cannot cancel job %s on %s: %s", job, self.name, error)
            return isinstance(error, PermanentError)
        return True

    # --- when the target does not take a job --------------------------------------------------

    def refused(self, record: JobRecord, error: TemporaryError) -> None:
        """Record that the target does not take the job now, or give up."""
        try:
            self._refused(record, error)
        except Exception as broke:
            # The store or the target cannot be asked now: nobody else would go on with the job.
            LOG.warning("job %s is tried again on %s: %s", record.id, self.name, broke)
            with self._lock:
                self._resume.append(_Resume(self._core.clock() + _IDLE, record))

    def _refused(self, record: JobRecord, error: TemporaryError) -> None:
        with self._lock:
            self._flying.discard(record.id)
        core, now = self._core, self._core.clock()
        busy = isinstance(error, TargetUnavailable) and self._is_busy(record.id)
        if counts := not (busy or isinstance(error, WaitError)):
            core.known.submitted(self.name, ok=False)
        later = steps.submit_later(record, error, now, core.settings, counts=counts)
        if later is None or (not busy and self._is_late(record, now)):
            self._give_up(replace(record, tries=record.tries + 1), error)
            return
        if busy:
            self._paused = now + error.delay
        if record.state is JobState.PLACED:
            with self._lock:
                self._watch.pop(record.id, None)
            core.persist([later])
            return
        assert later.due is not None and later.tries is not None
        with self._lock:
            self._resume.append(_Resume(later.due, replace(record, tries=later.tries)))

    def _is_late(self, record: JobRecord, now: float) -> bool:
        """True when the job has waited long enough for a submit, and another target can run it."""
        core, service = self._core, self._core.services.get(record.service)
        since = record.accepted if record.placed is None else record.placed
        if service is None or now - since < patience(service, core.settings):
            return False
        return steps.can_go_elsewhere(core.store.detail(record.id), core.lanes.keys())

    def _is_busy(self, job: str) -> bool:
        """True when the target answers and has other jobs of ours: then it is only full."""
        with self._lock:
            others = len(self._with_target) - (job in self._with_target)
            return self._healthy and others > 0

    def _give_up(self, record: JobRecord, error: TemporaryError) -> None:
        """Go to the next fallback target, or be dead."""
        core = self._core
        why = f"{self.name} did not take it in {record.tries} tries; the last: {error.message}"
        detail = core.store.detail(record.id)
        fallback = steps.next_fallback(detail, core.lanes.keys())
        elsewhere = bool(fallback) or steps.can_go_elsewhere(detail, core.lanes.keys())
        if elsewhere and isinstance(self._target, Withdraws):
            # It may have arrived all the same: the mover asks for it back, unless it runs already.
            if self.hold(record):
                wish = Change(record.id, record.attempt, record.state, core.clock(), reason=why)
                core.persist([replace(wish, moving=True, tries=record.tries)])
            return
        if elsewhere and not self._has_let_go(record):
            due = core.clock() + core.settings.delay(record.id, record.tries, error.delay)
            with self._lock:
                self._resume.append(_Resume(due, record))
            return
        if elsewhere:
            # A submit that was refused may have arrived all the same.
            self._try_stop(record.id)
        core.persist([steps.given_up(record, why, fallback, core.clock(), elsewhere=elsewhere)])
        self.drop(record.id)

    def _has_let_go(self, record: JobRecord) -> bool:
        """False while the target may run the job although it does not take it now."""
        if not isinstance(self._target, Leases):
            return True
        since = None if record.state is JobState.PLACED else record.submitted
        return self._target.has_let_go(_job(record), since)

    def finish(self, record: JobRecord, state: JobState, reason: str) -> None:
        """Record the end of a job that was not submitted."""
        self._core.persist([steps.ended(record, state, reason, self._core.clock())])
        self.drop(record.id)

    # --- news -------------------------------------------------------------------------------

    def watch_loop(self) -> None:
        """The watching thread's work until the dispatcher stops."""
        self._core.loop(self._watch_step)

    def _watch_step(self) -> None:
        settings = self._core.settings
        if not self._watch:
            self._news.wait(_IDLE)
            self._news.clear()
            return
        found = self._poll()
        self._pause = settings.poll_min if found else min(settings.poll_max, self._pause * 2)
        if self._news.wait(self._pause):
            self._pause = settings.poll_min
        self._news.clear()

    def _poll(self) -> bool:
        """Ask the target once and store what it says; True when that changed something."""
        with self._polling:
            try:
                self._late += self._target.poll()
                self._healthy = True
            except BridgeError as error:
                if self._healthy:
                    LOG.warning("cannot ask %s for news: %s", self.name, error)
                self._healthy = False
            return self._apply()

    def _apply(self) -> bool:
        """Store all news at once."""
        known: list[tuple[JobUpdate, Change]] = []
        for update in self._late:
            entry = self._watch.get(update.job)
            if entry is None:
                self._forget_if_over(update)
            elif (change := understood(update, entry, self._core)) is not None:
                known.append((update, change))
        for _, change in known:
            if change.again:
                # Before it is stored: then the next attempt may begin here at any moment.
                self._forget(change.job)
        answers = self._core.persist([change for _, change in known])
        self._late = []
        # Without an answer the news was overtaken, or we stop and ask again after the restart.
        stopping = self._core.stopping.is_set()
        for (update, change), answer in zip(known, answers, strict=True):
            if answer is not None or not stopping:
                self._after(update, change)
        return bool(known)

    def _after(self, update: JobUpdate, change: Change) -> None:
        if change.state.final:
            self._forget(change.job)
            return
        with self._lock:
            entry = self._watch.get(change.job)
            if entry is not None and entry.attempt == change.attempt:
                entry.state = change.state
                entry.handle = entry.handle or update.handle

    def _forget(self, job: str) -> None:
        self.drop(job)
        if isinstance(self._target, Forgets):
            self._target.forget(job)

    def _forget_if_over(self, update: JobUpdate) -> None:
        """A target repeats the end of a job that was cancelled, or that another has recorded."""
        if update.state.final and isinstance(self._target, Forgets):
            record = self._core.store.job(update.job)
            if record is None or record.state.final:
                self._target.forget(update.job)
