"""The engine: one thread that decides, a few that run; every change of state becomes an event."""

from __future__ import annotations

import logging
import threading
import uuid
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from bridge.errors import BridgeError
from bridge.local.aws._limits import batch_limits
from bridge.local.aws._logs import LogWriter
from bridge.local.aws.batch import retry
from bridge.local.aws.batch._describe import describe
from bridge.local.aws.batch.attempt import Runner
from bridge.local.aws.batch.model import (
    WAITING,
    Attempt,
    ComputeEnvironment,
    Fault,
    Job,
    Json,
    Node,
    Queue,
    Status,
    now,
)
from bridge.local.aws.batch.registry import Registry
from bridge.local.aws.model import Cloud, Place, Scope, Settings
from bridge.local.executors import Executor, Running

_log = logging.getLogger(__name__)
_DEPENDENCY: Final = "Dependent Job failed"
_STUCK: Final = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job needs more vCPUs, or another platform or "
    "GPUs, than any compute environment of its queue can give"
)
_MAIN_ENDED: Final = "The main node of the job has ended"
_POLL: Final = 0.5


class BatchEngine:
    """Keeps all jobs and runs them; `lock` guards everything that it keeps."""

    def __init__(
        self, executor: Executor, cloud: Cloud, logs: LogWriter, place: Place, settings: Settings
    ) -> None:
        self.lock = threading.RLock()
        self.jobs: dict[str, Job] = {}
        self._registries: dict[Scope, Registry] = {}
        self._cloud = cloud
        self._settings = settings
        self._runner = Runner(executor, cloud, logs, place, settings.grace)
        self._changed = threading.Condition(self.lock)
        self._runnable: dict[int, deque[Job]] = {}
        self._queues: dict[int, Queue] = {}
        self._ended: deque[Job] = deque()
        self._ripe: deque[Job] = deque()
        self._advancing = False
        self._news: deque[tuple[Scope, Json]] = deque()
        self._busy = 0
        self._closed = False
        self._workers = ThreadPoolExecutor(settings.batch_workers, "bridge-batch-job")
        self._thread = threading.Thread(target=self._run, name="bridge-batch", daemon=True)
        self._thread.start()

    def registry(self, scope: Scope) -> Registry:
        """What was created in an account and region."""
        with self.lock:
            if scope not in self._registries:
                limits = batch_limits()
                least = self._settings.job_timeout
                self._registries[scope] = Registry(
                    scope, limits, limits.timeout_seconds if least is None else least
                )
            return self._registries[scope]

    def submit(self, job: Job, waits_for: Iterable[tuple[Job, str]], sequential: bool) -> None:
        """Take a job; `waits_for` are jobs with the type of dependency ("" or N_TO_N)."""
        with self._changed:
            self._keep(job)
            if job.size:
                self._make_children(job, sequential)
            self._make_nodes(job)
            for other, kind in waits_for:
                self._depend(job, other, kind)
            for one in job.children or [job]:
                self._advance(one)
            if job.size and not job.status.final:
                self._set(job, Status.PENDING)
            self._changed.notify()

    def cancel(self, job: Job, reason: str) -> None:
        """CancelJob: ends what does not run yet."""
        with self._changed:
            for one in [*job.children, job]:
                if one.status in WAITING and not one.size:
                    self._end(one, Status.FAILED, reason)
            self._changed.notify()

    def terminate(self, job: Job, reason: str) -> None:
        """TerminateJob: ends it whatever it does; what runs is killed soon after."""
        with self._changed:
            self.cancel(job, reason)
            for one in [*job.children, *job.nodes, job]:
                if one.status in {Status.STARTING, Status.RUNNING}:
                    one.stop_reason, one.terminated = reason, True
                    one.wake.set()

    def refresh(self) -> None:
        """Look again what can be placed: queues or environments have changed."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Kill what runs and start nothing more."""
        with self._changed:
            self._closed = True
            self._runner.hurry()
            for job in self.jobs.values():
                if not job.status.final:
                    job.stop_reason, job.terminated = "the local endpoint stops", True
                    job.wake.set()
            self._changed.notify()
        self._thread.join()
        self._workers.shutdown(cancel_futures=True)

    # How a job comes to be runnable

    def _keep(self, job: Job) -> None:
        self.jobs[job.id] = job
        self._set(job, Status.SUBMITTED)

    def _make_children(self, parent: Job, sequential: bool) -> None:
        for index in range(parent.size):
            name = f"{parent.id}:{index}"
            child = Job(
                name, f"{parent.arn}:{index}", parent.name, parent.scope, parent.queue,
                parent.definition_arn, parent.definition_name, parent.plan, parent.request,
                parent.parameters, index=index, parent=parent,
            )  # fmt: skip
            parent.children.append(child)
            self._keep(child)
            if sequential and index:
                self._wait(child, parent.children[index - 1])

    def _make_nodes(self, parent: Job) -> None:
        plans = parent.group.plans if parent.group is not None else ()
        for index, plan in enumerate(plans):
            assert parent.group is not None
            node = Job(
                f"{parent.id}#{index}", f"{parent.arn}#{index}", parent.name, parent.scope,
                parent.queue, parent.definition_arn, parent.definition_name, plan, parent.request,
                parent.parameters, parent=parent, node=Node(index, len(plans), parent.group.main),
            )  # fmt: skip
            parent.nodes.append(node)
            self._keep(node)

    def _depend(self, job: Job, other: Job, kind: str) -> None:
        if kind == "N_TO_N":
            if len(other.children) != len(job.children):
                raise Fault("N_TO_N needs two array jobs of one size")
            for own, its in zip(job.children, other.children, strict=True):
                self._wait(own, its)
            return
        for one in job.children or [job]:
            self._wait(one, other)

    def _wait(self, job: Job, other: Job) -> None:
        if other.status is Status.FAILED:
            job.stop_reason = _DEPENDENCY
        elif other.status is not Status.SUCCEEDED:
            job.blockers += 1
            other.followers.append(job)

    def _advance(self, job: Job) -> None:
        """To the state that its dependencies allow."""
        if job.status.final:
            return
        if job.stop_reason:
            self._end(job, Status.FAILED, job.stop_reason)
        elif job.blockers:
            self._set(job, Status.PENDING)
        else:
            self._set(job, Status.RUNNABLE)
            key = id(job.queue)
            self._queues[key] = job.queue
            self._runnable.setdefault(key, deque()).append(job)

    def _end(self, job: Job, status: Status, reason: str) -> None:
        if job.status.final:
            return
        job.status_reason = reason
        job.stopped = now()
        self._set(job, status)
        for node in job.nodes:
            self._end(node, status, reason)
        followers, job.followers = job.followers, []
        for one in followers:
            one.blockers -= 1
            if status is Status.FAILED:
                one.stop_reason = _DEPENDENCY
        self._ripe.extend(one for one in followers if one.stop_reason or not one.blockers)
        if job.parent is None:
            self._forget_oldest(job)
        self._advance_ripe()

    def _advance_ripe(self) -> None:
        """A loop and not a recursion: a chain of dependencies may be thousands long."""
        if self._advancing:
            return
        self._advancing = True
        while self._ripe:
            self._advance(self._ripe.popleft())
        self._advancing = False

    def _forget_oldest(self, job: Job) -> None:
        self._ended.append(job)
        while len(self._ended) > 1 and len(self.jobs) > self._settings.kept_jobs:
            old = self._ended.popleft()
            for one in (old, *old.children, *old.nodes):
                self.jobs.pop(one.id, None)

    def _set(self, job: Job, status: Status) -> None:
        before, job.status = job.status, status
        if status in WAITING:
            for node in job.nodes:
                self._set(node, status)
        if (parent := job.parent) is not None and job.node is None:
            if before is not status:
                parent.counts[before] = parent.counts.get(before, 0) - 1
            parent.counts[status] = parent.counts.get(status, 0) + 1
            if status.final:
                self._follow_child(parent)
        self._news.append((job.scope, describe(job)))

    def _follow_child(self, parent: Job) -> None:
        done = parent.counts.get(Status.SUCCEEDED, 0) + parent.counts.get(Status.FAILED, 0)
        if done < parent.size:
            return
        failed = bool(parent.counts.get(Status.FAILED, 0))
        reason = "Array Child Job failed" if failed else ""
        self._end(parent, Status.FAILED if failed else Status.SUCCEEDED, reason)

    # The thread that decides

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._closed:
                    self._place_what_fits()
                news, self._news = self._news, deque()
                if not news:
                    if self._closed and not self._busy:
                        return
                    self._changed.wait(_POLL if self._closed else None)
            for scope, detail in news:
                self._tell(scope, detail)

    def _tell(self, scope: Scope, detail: Json) -> None:
        kind = "Batch Job State Change"
        try:
            self._cloud.put_event(scope, "aws.batch", kind, [detail["jobArn"]], detail)
        except BridgeError as error:
            _log.error("a change of job %s was not told: %s", detail["jobId"], error)

    def _place_what_fits(self) -> None:
        for key in sorted(self._runnable, key=lambda one: -self._queues[one].priority):
            waiting = self._runnable[key]
            stuck: list[Job] = []
            while waiting and self._busy < self._settings.batch_workers:
                job = waiting.popleft()
                if job.status is Status.RUNNABLE and not self._place(job, stuck):
                    waiting.appendleft(job)
                    break
            # What can never run must not keep the others of its queue waiting.
            waiting.extend(stuck)
            if not waiting:
                del self._runnable[key], self._queues[key]

    def _place(self, job: Job, stuck: list[Job]) -> bool:
        """Start a job where there is room; False when it must wait and is next."""
        environments = self.registry(job.scope).environments
        able = [
            one
            for name in job.queue.environments
            if (one := environments.get(name)) and _can_ever(one, job)
        ]
        if not able:
            job.status_reason = _STUCK
            stuck.append(job)
            return True
        for one in able:
            if one.enabled and one.used + job.plan.vcpus <= one.max_vcpus:
                self._start(job, one)
                return True
        return False

    def _start(self, job: Job, environment: ComputeEnvironment) -> None:
        environment.used += job.plan.vcpus
        self._busy += 1
        self._workers.submit(self._work, job, self._begin(job, environment))

    def _begin(self, job: Job, environment: ComputeEnvironment) -> Attempt:
        job.environment = environment
        job.status_reason = ""
        job.wake = threading.Event()
        job.current = Attempt(now(), stream=f"{job.definition_name}/default/{uuid.uuid4().hex}")
        self._set(job, Status.STARTING)
        return job.current

    # The threads that run

    def _work(self, job: Job, attempt: Attempt) -> None:
        try:
            if job.nodes:
                self._run_nodes(job, attempt)
            else:
                self._runner.run(job, attempt, lambda running: self._running(job, attempt))
        except Exception:
            # Whatever went wrong, the job must not stay RUNNING for ever.
            _log.exception("job %s could not be run", job.id)
            attempt.status_reason = "Task failed to start"
            attempt.reason = "CannotStartContainerError: see the log of the endpoint"
        with self._changed:
            self._after(job, attempt)
            self._changed.notify()

    def _run_nodes(self, job: Job, attempt: Attempt) -> None:
        """The main node first; the others as long as it runs."""
        assert job.group is not None
        assert job.environment is not None
        main = job.nodes[job.group.main]
        with self._changed:
            for node in job.nodes:
                node.stop_reason, node.terminated = job.stop_reason, job.terminated
            self._begin(main, job.environment)
            main.current = attempt
        helpers: list[threading.Thread] = []

        def started(running: Running) -> None:
            self._running(main, attempt)
            self._running(job, attempt)
            helpers.extend(self._start_helpers(job, self._runner.address(running)))

        try:
            self._runner.run(main, attempt, started)
        finally:
            self._end_helpers(job)
            for one in helpers:
                one.join()
            with self._changed:
                self._after_node(main, attempt)

    def _start_helpers(self, job: Job, address: str) -> list[threading.Thread]:
        threads = []
        for node in job.nodes:
            assert node.node is not None
            if not node.node.is_main:
                node.node.address = address
                name = f"bridge-batch-node-{node.node.index}"
                threads.append(threading.Thread(target=self._help, args=(node,), name=name))
                threads[-1].start()
        return threads

    def _end_helpers(self, job: Job) -> None:
        with self._changed:
            for node in job.nodes:
                node.stop_reason, node.terminated = node.stop_reason or _MAIN_ENDED, True
                node.wake.set()

    def _help(self, node: Job) -> None:
        """One node beside the main one; how it ends does not decide about the job."""
        parent = node.parent
        assert parent is not None
        assert parent.environment is not None
        with self._changed:
            if node.terminated:
                return
            attempt = self._begin(node, parent.environment)
        try:
            self._runner.run(node, attempt, lambda running: self._running(node, attempt))
        except Exception:
            _log.exception("node %s could not be run", node.id)
        with self._changed:
            self._after_node(node, attempt)

    def _after_node(self, node: Job, attempt: Attempt) -> None:
        attempt.stopped = now()
        node.attempts.append(attempt)
        status = Status.SUCCEEDED if attempt.exit_code == 0 else Status.FAILED
        self._end(node, status, attempt.status_reason)
        self._changed.notify()

    def _running(self, job: Job, attempt: Attempt) -> None:
        with self._changed:
            attempt.started = now()
            job.started = job.started or attempt.started
            if job.parent is not None and job.node is None:
                job.parent.started = job.parent.started or attempt.started
            self._set(job, Status.RUNNING)
            self._changed.notify()

    def _after(self, job: Job, attempt: Attempt) -> None:
        assert job.environment is not None
        job.environment.used -= job.plan.vcpus
        self._busy -= 1
        attempt.stopped = now()
        job.attempts.append(attempt)
        timed_out = attempt.status_reason == Runner.TIMED_OUT
        if attempt.exit_code == 0 and not job.terminated and not timed_out:
            self._end(job, Status.SUCCEEDED, attempt.status_reason)
        elif job.terminated or timed_out or not self._again(job, attempt):
            self._end(job, Status.FAILED, job.stop_reason or attempt.status_reason)
        else:
            self._advance(job)

    @staticmethod
    def _again(job: Job, attempt: Attempt) -> bool:
        return retry.again(attempt, len(job.attempts), job.plan.attempts, job.plan.rules)


def _can_ever(environment: ComputeEnvironment, job: Job) -> bool:
    kind = str(environment.record["computeResources"].get("type", "EC2"))
    platform = "FARGATE" if kind.startswith("FARGATE") else "EC2"
    fits = environment.max_vcpus >= job.plan.vcpus
    return fits and not job.plan.gpus and platform in job.plan.platforms
