"""What all handlers share: the account, the job table, the services, the targets, the clock."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bridge.dispatch.model import Change, JobRecord, NewJob
from bridge.dispatch.settings import Settings
from bridge.dispatch.table import Cost, JobTable
from bridge.errors import BridgeError, PermanentError
from bridge.events import trace_of
from bridge.fdl.model import TargetSpec
from bridge.pipeline import Routes
from bridge.scheduler import Snapshot, TargetState
from bridge.targets.aws import Account, AccountSettings, BatchTarget, LambdaTarget
from lambda_runtime.dispatcher.breakers import Breakers
from lambda_runtime.dispatcher.environment import Environment
from lambda_runtime.dispatcher.learned import Learned
from lambda_runtime.dispatcher.letters import DeadLetters
from lambda_runtime.dispatcher.registry import Known, Registry, Services
from lambda_runtime.dispatcher.spending import Spending

if TYPE_CHECKING:
    from bridge.dispatch.tracing import Tracing

__all__ = ["PATIENCE", "World"]

LOG: Final = logging.getLogger("oscar-bridge")

PATIENCE: Final = Settings(max_submits=8, backoff=2.0, backoff_cap=300.0)
"""As patient as the local dispatcher, but a wait is a message: seconds, up to some minutes."""

_LOADS: Final = 10.0
_KINDS: Final = ("lambda", "batch")


class World:
    """Made once per process. Safe to use from several threads."""

    def __init__(
        self,
        environment: Environment,
        *,
        account: Account | None = None,
        settings: Settings = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.environment = environment
        self.account = account or _account(environment)
        self.settings = settings
        self.clock = clock
        self.table = JobTable(self.account, environment.table)
        self.letters = DeadLetters(self.account, environment.dead)
        self.registry = Registry(self.account)
        self.lambdas = LambdaTarget(TargetSpec("aws-lambda", "lambda"), self.account, {})
        self.batches = BatchTarget(TargetSpec("aws-batch", "batch"), self.account, {})
        self.learned = Learned(self.account, self.table, clock)
        self.breakers = Breakers(self.table, clock)
        self.spending = Spending(self.table, clock)
        self.tracing = _tracing()
        self._adopted: Services | None = None
        self._loads = _Loads(self.table)

    @property
    def routes(self) -> Routes:
        """Which outputs start other jobs: for AWS, S3 itself tells of them."""
        return _NO_ROUTES

    def services(self, *, again: bool = False) -> Services:
        """What is deployed, made known to the targets."""
        services = self.registry.services(again=again)
        if services is not self._adopted:
            self.lambdas.adopt(services.deployed)
            self.batches.adopt(services.deployed)
            self._adopted = services
        return services

    def service(self, name: str) -> Known | None:
        """One service, looked for again when it is not known."""
        return self.services().get(name) or self.services(again=True).get(name)

    def target(self, known: Known, name: str) -> LambdaTarget | BatchTarget | None:
        """The target of this name, None when the service has no such side."""
        spec = known.at.specs(known.document).get(name)
        if spec is None:
            return None
        return self.lambdas if spec.kind == "lambda" else self.batches

    def snapshot(self, known: Known) -> Snapshot:
        """The sides that the service has and their breakers, with what it has spent where it has a
        budget."""
        return self.breakers.told(self.spending.told(self._standing(known), known.service))

    @contextmanager
    def accepting(self, job: NewJob, parent: str) -> Iterator[NewJob]:
        """Around the record of a new job: the same in its trace; `parent` is a caller's
        `traceparent`, "" for none."""
        parent = trace_of(parent)
        if self.tracing is None:
            yield replace(job, trace=parent)
            return
        with self.tracing.accepting([job], parent) as (traced,):
            yield traced

    def ended(self, job: str) -> None:
        """A job is over: make its spans."""
        if self.tracing is not None and (detail := self.table.detail(job)) is not None:
            self.tracing.ended(detail)

    def flush(self) -> None:
        """Send the spans that were made: between two invocations nothing runs."""
        if self.tracing is not None:
            self.tracing.flush()

    def cost_of(self, job: JobRecord, change: Change) -> Cost | None:
        """What the attempt that ends with this change has cost, to be counted with it."""
        known = self.service(job.service)
        if known is None:
            return None
        try:
            return self.spending.of(known.service, known.at.specs(known.document), job, change)
        except PermanentError as error:
            # What it says of itself makes no sense: then it has not been placed by it either.
            LOG.warning("what job %s has cost cannot be told: %s", job.id, error)
            return None

    def _standing(self, known: Known) -> Snapshot:
        """The sides that the service has, with what runs there as far as that matters."""
        specs = known.at.specs(known.document)
        if len(specs) < 2:
            return Snapshot(tuple(TargetState(spec) for spec in specs.values()))
        loads = self._loads.now()
        states = (TargetState(spec, *loads.get(name, (0, 0))) for name, spec in specs.items())
        return self.learned.informed(Snapshot(tuple(states)), known.at.service)

    def learn(self) -> None:
        """Learn from the jobs of the services that have a choice between targets."""
        deployed = (one.service for one in self.services().deployed)
        chosen = [
            name
            for name in deployed
            if (known := self.service(name)) is not None and len(known.at.specs(known.document)) > 1
        ]
        if chosen:
            self.learned.learn(chosen)

    def reserve(self, target: str) -> None:
        """A job was placed on the target: the next decision sees it."""
        self._loads.reserve(target)


class _Loads:
    """Jobs running and queued by target, read now and then; with what was placed here since."""

    def __init__(self, table: JobTable) -> None:
        self._table = table
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._counts: dict[str, tuple[int, int]] = {}

    def now(self) -> Mapping[str, tuple[int, int]]:
        with self._lock:
            if time.monotonic() - self._at >= _LOADS:
                self._at = time.monotonic()
                self._read()
            return dict(self._counts)

    def _read(self) -> None:
        try:
            self._counts = self._table.busy(1000)
        except BridgeError as error:
            # A decision without it is better than none.
            LOG.warning("the load of the targets is not known: %s", error)

    def reserve(self, target: str) -> None:
        with self._lock:
            running, queued = self._counts.get(target, (0, 0))
            self._counts[target] = (running, queued + 1)


def _tracing() -> Tracing | None:
    """What OpenTelemetry's variables ask for; its packages come with a layer of the function."""
    if not any(name.startswith("OTEL_") for name in os.environ):
        return None
    try:
        from bridge.dispatch.tracing import tracing_of  # noqa: PLC0415  a layer
    except ImportError:
        LOG.warning("the environment asks for traces (OTEL_…), and there is no OpenTelemetry")
        return None
    return tracing_of(os.environ)


def _account(environment: Environment) -> Account:
    return Account(
        AccountSettings(
            name=environment.prefix, region=environment.region, bucket=environment.bucket
        )
    )


_NO_ROUTES: Final = Services().routes
