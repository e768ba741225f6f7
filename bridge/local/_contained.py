"""Jobs as containers of the service's own image, with the runtime beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

from bridge.local._work import Begun, Outcome, Work
from bridge.local.executors import Executor, Exit, Running, Task

_SUPERVISOR: Final = "/opt/bridge/bin/bridge-supervisor"
_CONFIG: Final = "/oscar/config"
_JOB: Final = "/oscar/job"
_REPORT: Final = "/oscar/report"
_SECRETS: Final = "/var/run/secrets/providers"
_GRACE: Final = 5.0


class ContainerRunner:
    """One container per job; the supervisor in it is the first process."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._lock = threading.Lock()
        self._running: Running | None = None

    def run(self, work: Work, begun: Begun) -> Outcome:
        """See `Runner.run`."""
        with work.files.log.open("a") as log:
            running = self._executor.start(_task(work), _sink(log))
            with self._lock:
                self._running = running
            try:
                begun(f"container {running.id[:12]}")
                end = running.wait()
            finally:
                # For whoever leaves by an exception; it has ended otherwise.
                running.kill()
        with self._lock:
            self._running = None
        assert end is not None
        return _outcome(work, end)

    def interrupt(self) -> None:
        """See `Runner.interrupt`."""
        with self._lock:
            running = self._running
        if running is not None:
            running.kill(_GRACE)

    def close(self) -> None:
        """See `Runner.close`: no container outlives its job."""


def _sink(log: TextIO) -> Callable[[str], None]:
    def write(line: str) -> None:
        log.write(f"{line}\n")
        log.flush()

    return write


def _task(work: Work) -> Task:
    service, files = work.service, work.files
    spec = service.service
    mounts: dict[Path, str] = {
        service.config: _CONFIG,
        service.secrets: _SECRETS,
        files.event_file.parent: _JOB,
    }
    return Task(
        name=work.job.id,
        image=spec.image,
        argv=(_SUPERVISOR,),
        env=_environment(work),
        memory=spec.resources.memory,
        cpus=float(spec.resources.cpu),
        mounts=mounts,
        labels={"oscar-bridge.job": work.job.id, "oscar-bridge.service": spec.name},
        writable={files.report.parent: _REPORT},
    )


def _environment(work: Work) -> dict[str, str]:
    service, files = work.service, work.files
    own = {
        "BRIDGE_SERVICE_FILE": f"{_CONFIG}/{service.document.name}",
        "BRIDGE_EVENT_FILE": f"{_JOB}/{files.event_file.name}",
        "BRIDGE_SECRETS_DIR": _SECRETS,
        "BRIDGE_REPORT": f"{_REPORT}/{files.report.name}",
        "JOB_UUID": work.job.id,
    }
    spec = service.service
    if spec.script_text is not None:
        own["BRIDGE_SCRIPT_FILE"] = f"{_CONFIG}/{service.script.name}"
    if spec.timeout is not None:
        own["BRIDGE_TIMEOUT"] = f"{spec.timeout:g}"
    return {**spec.variables, **own}


def _outcome(work: Work, end: Exit) -> Outcome:
    if end.oom:
        limit = work.service.service.resources.memory // 1024**2
        reason = f"out of memory: the limit of the service is {limit} MiB"
        return Outcome(reason=reason, exit_code=end.code)
    report = work.files.read_report()
    if report is not None:
        return Outcome(report=report)
    reason = end.reason or f"the container ended with status {end.code} and no report"
    # A program that ended by itself would do so again; one that was killed may have better luck.
    temporary = end.signal is not None or (bool(end.reason) and not end.unable)
    return Outcome(reason=reason, exit_code=end.code, temporary=temporary)
