"""One attempt of a job: the task it becomes, and how its end is worded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from bridge.errors import BridgeError
from bridge.local.aws._logs import LogWriter
from bridge.local.aws.batch.model import Attempt, Job, Node
from bridge.local.aws.model import Cloud, Place
from bridge.local.executors import Executor, Exit, Running, Sink, Task, container_address

LOG_GROUP: Final = "/aws/batch/job"
_MIB: Final = 1024 * 1024
_LOOPBACK: Final = "127.0.0.1"
_ESSENTIAL: Final = "Essential container in task exited"
_OUT_OF_MEMORY: Final = "OutOfMemoryError: Container killed due to memory usage"


class Runner:
    """Runs attempts, each in the thread of the caller."""

    TIMED_OUT: Final = "Job attempt duration exceeded timeout"

    def __init__(
        self, executor: Executor, cloud: Cloud, logs: LogWriter, place: Place, grace: float
    ) -> None:
        self._executor = executor
        self._cloud = cloud
        self._logs = logs
        self._place = place
        self._grace = grace

    def run(self, job: Job, attempt: Attempt, on_start: Callable[[Running], None]) -> None:
        """Run it to its end and note how that was. `job.wake` ends it early."""
        log = self._logs.stream(job.scope, LOG_GROUP, attempt.stream)
        try:
            running = self._start(job, attempt, log.write)
            if running is None:
                return
            try:
                on_start(running)
                self._wait(job, attempt, running)
            except BaseException:
                running.kill()
                raise
        finally:
            log.close()

    def address(self, running: Running) -> str:
        """Where other tasks of this machine reach it."""
        if self._executor.engine == "container":
            return container_address(running.id)
        return _LOOPBACK

    def hurry(self) -> None:
        """From now on, kill at once."""
        self._grace = 0.0

    def _start(self, job: Job, attempt: Attempt, sink: Sink) -> Running | None:
        kind = "ResourceInitializationError"
        wake = job.wake
        try:
            hidden = {
                name: self._cloud.secret(job.scope, where) for name, where in job.plan.secrets
            }
            kind = "CannotPullContainerError"
            self._executor.check(job.plan.image)
            kind = "CannotStartContainerError"
            task = self._task(job, hidden)
            return self._executor.start(task, sink, on_exit=lambda end: wake.set())
        except BridgeError as error:
            hint = f" ({error.hint})" if error.hint else ""
            attempt.reason = f"{kind}: {error.message}{hint}"
            attempt.status_reason = "Task failed to start"
            sink(attempt.reason)
            return None

    def _wait(self, job: Job, attempt: Attempt, running: Running) -> None:
        limit = None if job.plan.timeout is None else time.monotonic() + job.plan.timeout
        end: Exit | None = None
        while end is None:
            left = None if limit is None else limit - time.monotonic()
            woken = job.wake.wait(left)
            end = running.wait(0)
            if end is None and woken and job.terminated:
                end = running.kill(self._grace)
                attempt.status_reason = job.stop_reason
            elif end is None and not woken:
                end = running.kill(self._grace)
                attempt.status_reason = self.TIMED_OUT
        attempt.exit_code = end.code
        if end.oom:
            attempt.reason = _OUT_OF_MEMORY
        if end.unable:
            attempt.reason = f"CannotStartContainerError: {end.reason}"
        attempt.status_reason = attempt.status_reason or _ESSENTIAL

    def _task(self, job: Job, hidden: Mapping[str, str]) -> Task:
        plan = job.plan
        return Task(
            name=f"batch-{job.name}",
            image=plan.image,
            args=plan.command,
            env=self._variables(job, hidden),
            memory=plan.memory * _MIB,
            cpus=plan.vcpus,
        )

    def _variables(self, job: Job, hidden: Mapping[str, str]) -> dict[str, str]:
        assert job.environment is not None
        own = {
            "AWS_BATCH_JOB_ID": job.id,
            "AWS_BATCH_JOB_ATTEMPT": str(len(job.attempts) + 1),
            "AWS_BATCH_JQ_NAME": job.queue.name,
            "AWS_BATCH_CE_NAME": job.environment.name,
        }
        if job.index is not None and job.parent is not None:
            own["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.index)
            own["AWS_BATCH_JOB_ARRAY_SIZE"] = str(job.parent.size)
        if job.node is not None:
            own |= _node_variables(job.node)
        return self._place.environment(job.scope) | dict(job.plan.env) | dict(hidden) | own


def _node_variables(node: Node) -> dict[str, str]:
    """A node's own; the address is for the nodes that are not the main one."""
    own = {
        "AWS_BATCH_JOB_NODE_INDEX": str(node.index),
        "AWS_BATCH_JOB_NUM_NODES": str(node.count),
        "AWS_BATCH_JOB_MAIN_NODE_INDEX": str(node.main),
    }
    if not node.is_main:
        own["AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"] = node.address
    return own
