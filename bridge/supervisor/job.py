"""One job from its event to its report."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge.errors import BridgeError, TemporaryError
from bridge.events import Event, job_id
from bridge.supervisor import _process, _signals
from bridge.supervisor._environment import script_environment
from bridge.supervisor._folders import WorkFolder, work_folder
from bridge.supervisor._script import NoScriptError, prepare
from bridge.supervisor._stage import check_outputs, output_files, stage_in, stage_out
from bridge.supervisor._tasks import OutOfTime
from bridge.supervisor.config import ServiceConfig
from bridge.supervisor.reply import sync_body
from bridge.supervisor.report import (
    FAILED,
    HANDED_OVER,
    NO_SCRIPT,
    SIGNALLED,
    STAGE_IN_FAILED,
    STAGE_OUT_FAILED,
    SUCCEEDED,
    TIMED_OUT,
    Report,
    earlier_success,
    write_report,
)

if TYPE_CHECKING:
    from bridge.storage import Store
    from bridge.supervisor.reply import Caller
    from bridge.supervisor.stores import StoreFactory

# ruff: noqa: PTH118

#: How much of the script's text is kept for the reply to a synchronous call, in bytes.
TEXT_LIMIT = 1 << 20
_LIMITS = (TIMED_OUT, SIGNALLED + signal.SIGKILL)
_QUIET = frozenset({"WARNING", "ERROR", "CRITICAL"})

Log = Callable[[bytes], object]
#: Takes the report of a run that came to its limits; True when another place has the job now.
Handover = Callable[[Report], bool]


def run_job(
    service: ServiceConfig,
    event: Event,
    *,
    stores: StoreFactory,
    base: str,
    log: Log,
    job: str = "",
    attempt: int = 1,
    timeout: float | None = None,
    env: Mapping[str, str] | None = None,
    credentials: bool = False,
    report: str = "",
    reply_limit: int = 0,
    grace: float = _process.GRACE,
    handover: Handover | None = None,
    data: str = "",
    caller: Caller | None = None,
) -> Report:
    """Stage in, run the script, stage out, write the report. Never raises for a job that fails.

    `stores` gives the store of a `<type>.<id>`. `base` is an existing folder; the job's own folder
    below it is gone afterwards. `log` takes the script's output, as bytes, as it comes. `job` is
    derived from the service and the event when empty. `timeout`, in seconds from now, covers stage
    in and the script; stage out, once begun, is not cut. `env` has more variables for the script,
    `credentials` says that it may see this process's AWS credentials. `report` is where the report
    goes (BRIDGE_REPORT; nowhere when empty). A `reply_limit` above 0 asks for `Report.reply` with
    at most so many bytes of files, or of text the last TEXT_LIMIT. After the time limit, and after
    a signal, the script has `grace` seconds to end by itself. `handover` is asked when the job ran
    out of time or memory, before its report would be written; where it says True, another place
    has the job now: nothing is written, and the report's state is HANDED_OVER. It raises nothing
    but BridgeError, which is told in the report's reason. `data` is a file that holds the payload
    of an event without a body; it is moved from its place, which must be in the file system of
    `base`. `caller` is told what the script says and leaves; it must not raise.

    Nothing is staged out when the script fails. A job whose report in S3 says that it succeeded is
    not run again: that report is the answer, with `repeated` set. A signal that ends this process
    (after `install_signals`) ends the job: the report is written with the reason "terminated".
    One job at a time per process: all processes that appear below this one while the script runs
    are taken for the job's and ended with it.
    """
    name = job or job_id(service.name, event)
    draft = _Draft(name, attempt, service, log)
    deadline = None if timeout is None else time.monotonic() + timeout
    run = _Run(
        service,
        event,
        stores,
        draft,
        deadline,
        env or {},
        credentials,
        reply_limit,
        grace,
        data,
        caller,
    )
    with _signals.held_back():
        try:
            with work_folder(base, name, draft.say) as folder:
                return _reported(run, folder, report, handover)
        except OSError as error:
            draft.fail(STAGE_IN_FAILED, f"cannot make a work folder in {base}: {error.strerror}")
            return _written(draft, report, stores, base)


def _reported(run: _Run, folder: WorkFolder, place: str, handover: Handover | None) -> Report:
    """The job and, as the last thing, its report; signals are let through only in the job."""
    draft = run.draft
    try:
        earlier = earlier_success(draft.job, place, run.stores, folder.scratch) if place else None
        if earlier is not None:
            draft.say("has succeeded before, not run again")
            return earlier._replace(repeated=True)
    except BridgeError as error:
        draft.fail_for(STAGE_IN_FAILED, "the earlier report cannot be read", error)
    else:
        run.protected(folder)
    if handover is not None and _handed_over(draft, handover):
        return draft.finish()._replace(state=HANDED_OVER)
    return _written(draft, place, run.stores, folder.path)


def _written(draft: _Draft, place: str, stores: StoreFactory, folder: str) -> Report:
    """The report, written; that it cannot be is the last thing that can fail."""
    done = draft.finish()
    if place:
        try:
            write_report(done, place, stores, folder)
        except BridgeError as error:
            draft.fail_for(STAGE_OUT_FAILED, "the report cannot be written", error)
            done = draft.finish()
    return done


def _handed_over(draft: _Draft, handover: Handover) -> bool:
    """Ask, when the job ran out of time or memory: only the kernel kills a script with SIGKILL."""
    if draft.exit_code is not None or draft.status not in _LIMITS:
        return False
    try:
        return handover(draft.finish())
    except BridgeError as error:
        draft.reason += f"; it could not be handed over: {error.message}"
        draft.say(f"it could not be handed over: {error.message}", always=True)
        return False


class _Draft:
    """A report in the making."""

    warm = False  # whether this process has had one before

    def __init__(self, job: str, attempt: int, service: ServiceConfig, log: Log) -> None:
        self.cold, _Draft.warm = not _Draft.warm, True
        self.job = job
        self.attempt = attempt
        self.service = service.name
        self.log = log
        self.quiet = service.log_level in _QUIET
        self.started = time.time()
        self.state = SUCCEEDED
        self.exit_code: int | None = None
        self.status = 0
        self.reason = ""
        self.temporary = False
        self.phases: dict[str, float] = {}
        self.input: Mapping[str, Any] = {}
        self.outputs: list[Mapping[str, Any]] = []
        self.reply = b""
        self.reply_error = ""

    def fail(self, status: int, reason: str, *, temporary: bool = False) -> None:
        """The job has failed; the first failure is the one that counts."""
        if self.state == FAILED:
            return
        self.state, self.status, self.temporary = FAILED, status, temporary
        self.reason = reason
        self.say(reason, always=True)

    def fail_for(self, status: int, doing: str, error: Exception) -> None:
        """The job has failed for an error, ours or the system's."""
        if isinstance(error, BridgeError):
            hint = f" ({error.hint})" if error.hint else ""
            text, temporary = f"{error.message}{hint}", isinstance(error, TemporaryError)
        else:
            text, temporary = f"{type(error).__name__}: {error}", False
        self.fail(status, f"{doing}: {text}", temporary=temporary)

    def say(self, text: str, *, always: bool = False) -> None:
        """A line of ours in the job's log."""
        if self.quiet and not always:
            return
        try:
            self.log(f"[supervisor] job {self.job}: {text}\n".encode("utf-8", "replace"))
        except OSError:
            # The report says how the job ended; a log that cannot be written must not change it.
            self.quiet = True

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a phase."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] = round(time.perf_counter() - begun, 6)

    def finish(self) -> Report:
        """The report as it stands."""
        return Report(
            job=self.job,
            attempt=self.attempt,
            service=self.service,
            state=self.state,
            exit_code=self.exit_code,
            reason=self.reason,
            started=self.started,
            ended=time.time(),
            phases=dict(self.phases),
            input=self.input,
            outputs=tuple(self.outputs),
            status=self.status,
            temporary=self.temporary,
            cold=self.cold,
            reply=self.reply,
            reply_error=self.reply_error,
        )


class _Run(NamedTuple):
    """One job's givens, and the steps that fill its draft."""

    service: ServiceConfig
    event: Event
    stores: StoreFactory
    draft: _Draft
    deadline: float | None
    env: Mapping[str, str]
    credentials: bool
    reply_limit: int
    grace: float
    data: str
    caller: Caller | None

    def protected(self, folder: WorkFolder) -> None:
        """All steps; every way that they can end becomes a state of the draft."""
        try:
            with _signals.let_through():
                self._steps(folder)
        except _signals.Terminated as error:
            self.draft.fail(SIGNALLED + error.number, "terminated", temporary=True)
        except KeyboardInterrupt:
            self.draft.fail(SIGNALLED + signal.SIGINT, "terminated", temporary=True)
        except OutOfTime:
            self.draft.fail(TIMED_OUT, "the time was over before the input was staged in")
        except Exception as error:
            # A fault of ours: the job must have a report nevertheless.
            late = "script" in self.draft.phases
            self.draft.fail_for(
                STAGE_OUT_FAILED if late else STAGE_IN_FAILED, "the supervisor failed", error
            )

    def _steps(self, folder: WorkFolder) -> None:
        stores = self._open_outputs()
        if stores is None:
            return
        path = self._stage_in(folder)
        if path is None:
            return
        text = self._run_script(folder, path)
        if text is not None:
            self._stage_out(folder, stores, text)

    def _open_outputs(self) -> Mapping[str, Store] | None:
        try:
            return check_outputs(self.service, self.stores)
        except BridgeError as error:
            self.draft.fail_for(STAGE_OUT_FAILED, "an output cannot be used", error)
            return None

    def _stage_in(self, folder: WorkFolder) -> str | None:
        draft = self.draft
        try:
            with draft.phase("stage_in"):
                path, draft.input = stage_in(
                    self.event,
                    self.service,
                    self.stores,
                    folder.input,
                    self.deadline,
                    data=self.data,
                )
        except (BridgeError, OSError) as error:
            draft.fail_for(STAGE_IN_FAILED, "stage in failed", error)
            return None
        return path

    def _run_script(self, folder: WorkFolder, path: str) -> bytes | None:
        """What the script wrote, None when the job must not go on."""
        draft, script = self.draft, self.service.script
        if script is None:
            draft.fail(NO_SCRIPT, "the service has no script")
            return None
        try:
            with draft.phase("script"):
                env = self._environment(folder, path)
                command = prepare(script, os.path.join(folder.path, "script.sh"), env, draft.say)
                outcome = _process.run(
                    command,
                    env,
                    folder.path,
                    log=draft.log,
                    keep=TEXT_LIMIT if self.reply_limit else 0,
                    deadline=self.deadline,
                    grace=self.grace,
                    listener=None if self.caller is None else self.caller.text,
                )
        except (NoScriptError, OSError) as error:
            draft.fail_for(NO_SCRIPT, "the script cannot be started", error)
            return None
        self._judge(outcome)
        return outcome.text if draft.state == SUCCEEDED else None

    def _judge(self, outcome: _process.Outcome) -> None:
        draft = self.draft
        if outcome.left:
            draft.say(f"ended {outcome.left} processes that the script had left behind")
        if outcome.log_error:
            draft.reason = outcome.log_error
        if outcome.timed_out:
            draft.fail(TIMED_OUT, "the script was still running when its time was over")
        elif outcome.code < 0:
            number = -outcome.code
            draft.fail(SIGNALLED + number, f"the script was killed by {_signal_name(number)}")
        else:
            draft.exit_code = outcome.code
            if outcome.code:
                draft.fail(outcome.code, f"the script ended with exit status {outcome.code}")

    def _environment(self, folder: WorkFolder, path: str) -> dict[str, str]:
        return script_environment(
            self.event,
            service=self.service.name,
            job=self.draft.job,
            folders={
                "TMP_INPUT_DIR": folder.input,
                "TMP_OUTPUT_DIR": folder.output,
                "TMPDIR": folder.scratch,
            },
            input_path=path,
            variables={**self.service.variables, **self.env},
            credentials=self.credentials,
        )

    def _stage_out(self, folder: WorkFolder, stores: Mapping[str, Store], text: bytes) -> None:
        draft = self.draft
        try:
            with draft.phase("stage_out"):
                files = output_files(folder.output, folder.path)
                draft.outputs += stage_out(files, self.service, self.event, stores)
        except (BridgeError, OSError) as error:
            draft.fail_for(STAGE_OUT_FAILED, "stage out failed", error)
            return
        draft.say(f"{len(files)} files written, {len(draft.outputs)} staged out")
        if self.caller is not None:
            self.caller.files(self.event, files)
        if self.reply_limit:
            try:
                draft.reply = sync_body(self.event, files, text, self.reply_limit)
            except (BridgeError, OSError) as error:
                draft.reply_error = str(error)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
