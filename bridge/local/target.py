"""This machine as a target: jobs of services that a cluster would run.

With containers, each job is a container of the service's image with the service's limits. As
processes, warm supervisors run the scripts as this user: not isolated, no limits, and the image is
not used.
"""

from __future__ import annotations

import os
import queue
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bridge.errors import BridgeError, NotFoundError, TargetUnavailable, TemporaryError
from bridge.fdl.model import ProviderRef, Service, TargetSpec
from bridge.local._contained import ContainerRunner
from bridge.local._copies import Copies
from bridge.local._exposed import Servers
from bridge.local._layout import ServiceFiles, safe_name, write_job, write_service
from bridge.local._news import final_update
from bridge.local._warm import WarmRunner
from bridge.local._work import Cancelled, Outcome, Runner, Work
from bridge.local.executors import Executor
from bridge.scheduler import Image
from bridge.targets.calls import call
from bridge.targets.news import News
from bridge.targets.protocol import Job, JobState, JobUpdate, Reply
from bridge.targets.render import ProviderAccess, used_access

__all__ = ["LocalTarget"]

# Logs of jobs that are over.
_KEPT: Final = 10_000


@dataclass(slots=True, eq=False)
class _Run:
    """One attempt on its way. `runner` is set while it runs; `guard` keeps it from going on to
    the next job while this one is being interrupted."""

    work: Work
    handle: str
    runner: Runner | None = None
    started: float | None = None
    cancelled: bool = False
    abandoned: bool = False
    over: bool = False
    guard: threading.Lock = field(default_factory=threading.Lock)


class LocalTarget:
    """Runs up to `slots` jobs at once (default: the spec's, else the number of cores).

    More wait here. `executor` says whether in containers or as processes; it is not closed here.
    `session` marks every process, so that a Guard finds it. `folder` gets services, credentials
    and logs; it is closed to others, and is removed by whoever owns the session. `access`
    holds the storage providers as the jobs of this target reach them.

    With `exposes` an exposed service has its server here, in `servers`, from `deploy` to `remove`.

    News: final states are repeated until `forget`. A job whose process or container was killed
    from outside is FAILED and temporary. A higher attempt of a job that is over is a new run.
    """

    def __init__(
        self,
        spec: TargetSpec,
        executor: Executor,
        *,
        session: str,
        folder: Path,
        access: Mapping[ProviderRef, ProviderAccess],
        slots: int | None = None,
        exposes: bool = False,
    ) -> None:
        self.spec = spec
        self.slots = max(1, slots or spec.slots or os.cpu_count() or 1)
        self._executor = executor
        self._marker = f"{session}.{spec.name}"
        # Closed to others, whatever is in it: credentials for containers are readable inside.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder = folder
        self._access = access
        self._lock = threading.Lock()
        self._services: dict[str, ServiceFiles] = {}
        self._deployed: dict[str, tuple[Service, Mapping[ProviderRef, ProviderAccess]]] = {}
        self._images: dict[str, Image] = {}
        self._written = 0
        self._runs: dict[str, _Run] = {}
        self._told: deque[str] = deque()
        self._queue: queue.SimpleQueue[_Run | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._open_runs = 0
        self._news = News()
        self._copies = Copies(f"{self._marker}.sync", folder / "sync", self.slots)
        self.servers = Servers(executor)
        self._exposes = exposes
        self._closed = False

    @property
    def contained(self) -> bool:
        """True when jobs run in containers of their image."""
        return self._executor.engine == "container"

    def deploy(self, services: Sequence[Service]) -> None:
        """See `Target.deploy`. PermanentError when an image is not on this machine."""
        images = {service.image for service in services}
        found = {image: self._executor.check(image) for image in images}
        changed: list[ServiceFiles] = []
        with self._lock:
            for service in services:
                if (size := found[service.image]) is not None:
                    self._images[service.name] = Image(size, present=1.0)
                there = self._services.get(service.name)
                wanted = service, used_access(service, self._access)
                if there is None or self._deployed.get(service.name) != wanted:
                    self._services[service.name] = self._write(service)
                    self._deployed[service.name] = wanted
                    changed.append(self._services[service.name])
        for files in changed if self._exposes else ():
            self.servers.deploy(files)

    def images(self) -> Mapping[str, Image]:
        """The images of the services that are deployed here; none where jobs are processes."""
        with self._lock:
            return dict(self._images)

    def remove(self, services: Sequence[str]) -> None:
        """See `Target.remove`; jobs that were submitted go on."""
        with self._lock:
            for name in services:
                self._services.pop(name, None)
                self._images.pop(name, None)
        for name in services:
            self._copies.remove(name)
            self.servers.remove(name)

    def submit(self, job: Job) -> str:
        """See `Target.submit`; the handle is `<job>#<attempt>`."""
        with self._lock:
            if self._closed:
                raise TargetUnavailable(f"{self.spec.name} is shutting down")
            there = self._runs.get(job.id)
            if there is not None and (not there.over or there.work.job.attempt >= job.attempt):
                return there.handle
            self._news.forget(job.id)
            run = _Run(self._prepare(job), f"{job.id}#{job.attempt}")
            self._runs[job.id] = run
            self._open_runs += 1
            if len(self._threads) < min(self.slots, self._open_runs):
                self._add_slot()
        self._queue.put(run)
        return run.handle

    def invoke(
        self,
        service: str,
        body: bytes | Iterator[bytes],
        headers: Mapping[str, str],
        timeout: float,
        *,
        query: str = "",
        gone: Callable[[], bool] | None = None,
    ) -> Reply:
        """See `Invokes.invoke`. NotFoundError also in containers: they only run jobs here."""
        with self._lock:
            files = self._services.get(service)
        if files is None or self.contained:
            raise NotFoundError(f"service {service} does not answer calls on {self.spec.name}")
        return call(self._copies.address(files), body, headers, timeout, query=query, gone=gone)

    def poll(self) -> Iterable[JobUpdate]:
        """See `Target.poll`."""
        return self._news.take()

    def forget(self, job: str) -> None:
        """Do not report the job's final state any more. Of jobs that are over, the newest 10,000
        keep their logs."""
        self._news.forget(job)
        with self._lock:
            self._told.append(job)
            oldest = self._told.popleft() if len(self._told) > _KEPT else ""
            run = self._runs.get(oldest)
            if run is None or not run.over:
                return
            del self._runs[oldest]
        shutil.rmtree(self._folder / "jobs" / safe_name(oldest), ignore_errors=True)

    def on_news(self, wake: Callable[[], None]) -> None:
        """Call `wake`, from any thread, whenever `poll` has something new; it returns at once."""
        self._news.on_news(wake)

    def withdraw(self, job: Job, handle: str) -> bool:
        """See `bridge.dispatch.protocol.Withdraws`: what waits here for a slot, at once."""
        del handle
        with self._lock:
            run = self._runs.get(job.id)
        if run is None or run.work.job.attempt != job.attempt:
            return True
        with run.guard:
            if run.runner is not None or run.over:
                return False
            run.over = True
        with self._lock:
            self._open_runs -= 1
            del self._runs[job.id]
        return True

    def cancel(self, job: str) -> None:
        """See `Target.cancel`; returns when everything that the job had running is gone."""
        with self._lock:
            run = self._runs.get(job)
        if run is not None:
            run.cancelled = True
            self._interrupt(run)

    def logs(self, job: str) -> Iterator[str]:
        """See `Target.logs`: of the last attempt; nothing for a job that is not known."""
        with self._lock:
            run = self._runs.get(job)
        return iter(()) if run is None else run.work.files.lines()

    def has_log(self, job: str) -> bool:
        """See KeepsLogs: whether this process has run it."""
        with self._lock:
            return job in self._runs

    def close(self) -> None:
        """See `Target.close`; jobs that are not over become FAILED and temporary."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            left = [run for run in self._runs.values() if not run.over]
        for run in left:
            run.abandoned = True
        stoppers = [threading.Thread(target=self._interrupt, args=(run,)) for run in left]
        for thread in stoppers:
            thread.start()
        for _ in self._threads:
            self._queue.put(None)
        for thread in (*stoppers, *self._threads):
            thread.join()
        self._copies.close()
        self.servers.close()

    def _write(self, service: Service) -> ServiceFiles:
        # A new folder each time: jobs of the old one may still run.
        self._written += 1
        folder = self._folder / "services" / safe_name(service.name) / str(self._written)
        return write_service(folder, service, self._access, shared=self.contained)

    def _prepare(self, job: Job) -> Work:
        service = self._services.get(job.service)
        if service is None:
            raise NotFoundError(f"service {job.service} is not deployed on {self.spec.name}")
        folder = self._folder / "jobs" / safe_name(job.id) / str(job.attempt)
        if folder.exists():
            shutil.rmtree(folder)
        return Work(job, service, write_job(folder, job, shared=self.contained))

    def _add_slot(self) -> None:
        number = len(self._threads) + 1
        runner = self._runner(number)
        name = f"{self.spec.name}-{number}"
        thread = threading.Thread(target=self._serve, args=(runner,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _runner(self, number: int) -> Runner:
        if self.contained:
            return ContainerRunner(self._executor)
        return WarmRunner(f"{self._marker}.{number}", self._folder / "slots" / str(number))

    def _serve(self, runner: Runner) -> None:
        """One slot: run what is submitted, until the target is closed."""
        try:
            while (run := self._queue.get()) is not None:
                self._execute(run, runner)
        finally:
            runner.close()

    def _execute(self, run: _Run, runner: Runner) -> None:
        with run.guard:
            if run.over:
                return
            run.runner = runner
        try:
            outcome = runner.run(run.work, lambda name: self._begun(run, name))
        except Cancelled:
            outcome = Outcome()
        except BridgeError as error:
            outcome = Outcome(reason=str(error), temporary=isinstance(error, TemporaryError))
        except Exception as error:
            # A defect of ours ends this job and not the slot that all others wait for.
            outcome = Outcome(reason=f"{type(error).__name__}: {error}")
        with run.guard:
            run.runner = None
            self._finish(run, outcome)

    def _begun(self, run: _Run, name: str) -> None:
        if run.cancelled or run.abandoned:
            raise Cancelled
        run.started = time.time()
        self._news.put(
            JobUpdate(
                run.work.job.id,
                JobState.RUNNING,
                handle=run.handle,
                started=run.started,
                reason=name,
                log=str(run.work.files.log),
            )
        )

    def _interrupt(self, run: _Run) -> None:
        """Stop a run that is marked as cancelled or abandoned, wherever it is."""
        with run.guard:
            if run.runner is not None:
                run.runner.interrupt()
            elif not run.over:
                self._finish(run, Outcome())

    def _finish(self, run: _Run, outcome: Outcome) -> None:
        run.over = True
        with self._lock:
            self._open_runs -= 1
        if run.abandoned and not outcome.succeeded:
            reason = f"{self.spec.name} was shut down"
            outcome = Outcome(reason=reason, exit_code=outcome.exit_code, temporary=True)
        update = final_update(
            run.work,
            outcome,
            handle=run.handle,
            cancelled=run.cancelled,
            started=run.started,
            now=time.time(),
        )
        self._news.put(update)
