"""What Prometheus is told of a manager, in its text format."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge.dispatch import JobEvent, JobStore
from bridge.targets import JobState
from manager.core import Manager
from manager.estimates import states
from manager.trials import Trials

__all__ = ["Measured", "Telemetry"]

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_COUNTED: Final = ("run", "job", "events")
_FORETOLD: Final = {"run": "error", "start": "start_error", "transfer": "transfer_error"}
_OPEN: Final = {"closed": 0.0, "half-open": 0.5, "open": 1.0}
_WAITING: Final = frozenset({JobState.ACCEPTED, JobState.PLACED, JobState.SUBMITTED})


class Telemetry:
    """Counts from its making on; what the store knows is asked when somebody looks. Thread-safe.

    No name of a service, a user or an object is told.
    """

    def __init__(self, manager: Manager) -> None:
        self._registry = CollectorRegistry()
        self._accepted = Counter(
            "bridge_events_accepted", "Events that became jobs.", registry=self._registry
        )
        self._over = Counter(
            "bridge_jobs_over",
            "Jobs that came to their end.",
            ["state", "target"],
            registry=self._registry,
        )
        self._calls = Counter(
            "bridge_calls",
            "Requests of /run, /job and /events.",
            ["kind", "status"],
            registry=self._registry,
        )
        self._ingest = Histogram(
            "bridge_ingest_seconds",
            "From a store's request to the durable answer.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_Stored(manager.parts.jobs))
        self._registry.register(_OnTrial(manager.trials))
        self._registry.register(_Learned(manager))
        manager.parts.jobs.watch(self._heard)

    def text(self) -> bytes:
        """Everything, as it stands now."""
        return generate_latest(self._registry)

    def answered(self, kind: str, status: int, seconds: float) -> None:
        """Count a request of `/run`, `/job` or `/events`."""
        self._calls.labels(kind, str(status)).inc()
        if kind == "events":
            self._ingest.observe(seconds)

    def _heard(self, news: Sequence[JobEvent]) -> None:
        self._accepted.inc(sum(event.previous is None for event in news))
        for event in news:
            if event.previous is not None and event.state.final:
                self._over.labels(event.state.value, event.target).inc()


class _Stored:
    """What is asked of the store."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs

    def collect(self) -> Iterator[Metric]:
        """The metrics; see prometheus_client."""
        loads = self._jobs.loads()
        depth = sum(count for (_, state), count in loads.items() if state in _WAITING)
        yield GaugeMetricFamily("bridge_queue_depth", "Jobs that do not run yet.", value=depth)
        open_ = GaugeMetricFamily(
            "bridge_jobs_open",
            'Jobs that are not over; target "" is not placed yet.',
            labels=["state", "target"],
        )
        for (target, state), count in loads.items():
            open_.add_metric([state.value, target], count)
        yield open_
        totals = self._jobs.totals()
        for name, what in (("refused", "that have no meaning"), ("ignored", "nobody asked for")):
            yield CounterMetricFamily(f"bridge_events_{name}", f"Events {what}.", totals[name])

    def describe(self) -> Sequence[Metric]:
        """Nothing: the store is asked when somebody looks, and not before."""
        return ()


class _OnTrial:
    """What policies on trial said."""

    def __init__(self, trials: Trials) -> None:
        self._trials = trials

    def collect(self) -> Iterator[Metric]:
        """The metrics; see prometheus_client."""
        found = CounterMetricFamily(
            "bridge_decisions_on_trial",
            "Decisions beside which another policy was asked, and whether both chose the same.",
            labels=["role", "policy", "same"],
        )
        for (role, policy, same), count in self._trials.counts().items():
            found.add_metric([role, policy, str(same).lower()], count)
        yield found

    def describe(self) -> Sequence[Metric]:
        """Nothing, as `_Stored`."""
        return ()


class _Learned:
    """What was learned of targets; see `manager.estimates`."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def collect(self) -> Iterator[Metric]:
        """The metrics; see prometheus_client."""
        known = self._manager.dispatcher.known
        errors = GaugeMetricFamily(
            "bridge_estimate_error",
            "Mean relative error of what was foretold of the services on the target, by what: run, "
            "start or transfer.",
            labels=["target", "what"],
        )
        drifts = CounterMetricFamily(
            "bridge_estimate_drifts",
            "Times that runs of a service on the target changed for good.",
            labels=["target"],
        )
        told = known.accuracy()
        for target in sorted({one.target for one in told}):
            here = [one for one in told if one.target == target]
            for what, name in _FORETOLD.items():
                off = [(getattr(one, name), one.compared) for one in here]
                counted = [(error, count) for error, count in off if error is not None and count]
                if counted:
                    mean = sum(e * n for e, n in counted) / sum(n for _, n in counted)
                    errors.add_metric([target, what], mean)
            drifts.add_metric([target], sum(one.drifts for one in here))
        open_ = GaugeMetricFamily(
            "bridge_breaker_open",
            "1 where jobs are kept from the target, 0.5 where one may try it, else 0.",
            labels=["target"],
        )
        for state in states(self._manager):
            open_.add_metric([state.spec.name], _OPEN[state.breaker])
        dropped = CounterMetricFamily(
            "bridge_measurements_dropped", "Figures that cannot be.", labels=["what"]
        )
        for what, count in known.dropped.items():
            dropped.add_metric([what], count)
        yield from (errors, drifts, open_, dropped)

    def describe(self) -> Sequence[Metric]:
        """Nothing: it is asked when somebody looks, and not before."""
        return ()


class Measured:
    """Counts requests of `/run`, `/job` and `/events` on their way out."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        # The path of `OPTIONS *` has no slash.
        path = scope["path"] if scope["type"] == "http" else ""
        kind = path.removeprefix("/").partition("/")[0]
        if kind not in _COUNTED or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            self._telemetry.answered(kind, status, time.monotonic() - began)
