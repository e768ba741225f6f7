"""The way of jobs as OpenTelemetry spans, from their event to their outputs.

A span `accept` is made when a job is; its context goes with the job, also to the place where it
runs. All others are made when the job is over, of what its record says, below `accept`: `place`,
`submit` and `run` for each attempt, and below `run` what the supervisor's report says.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bridge import __version__
from bridge.dispatch.model import Attempt, JobDetail, JobEvent, NewJob
from bridge.dispatch.protocol import JobStore
from bridge.targets import JobState

__all__ = ["Tracing", "tracing_of"]

_LOG: Final = logging.getLogger("bridge.dispatch")
_NAME: Final = "oscar-bridge"
_HEADER: Final = "traceparent"
_CARRIER: Final = TraceContextTextMapPropagator()
_PHASES: Final = ("stage_in", "script", "stage_out")
_ENDS_WELL: Final = frozenset({JobState.SUCCEEDED, JobState.CANCELLED})
# Objects whose producer is known, so that the job that takes one has a link to it.
_PRODUCTS: Final = 10_000
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_OTLP: Final = "otlp"

_Object = tuple[str, str, str]


class Tracing:
    """Makes the spans of a manager's jobs; see the module. Thread-safe."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(_NAME, __version__)
        self._products: OrderedDict[_Object, SpanContext] = OrderedDict()

    @contextmanager
    def accepting(self, items: Sequence[NewJob], parent: str) -> Iterator[Sequence[NewJob]]:
        """See `bridge.dispatch.protocol.Tracing`."""
        context = _context(parent)
        spans = [
            self._tracer.start_span(
                "accept",
                context,
                SpanKind.PRODUCER,
                {"bridge.job": item.id, "bridge.service": item.service},
            )
            for item in items
        ]
        try:
            yield [_with_trace(item, span) for item, span in zip(items, spans, strict=True)]
        except BaseException as error:
            for span in spans:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            for span in spans:
                span.end()

    @contextmanager
    def calling(self, service: str, headers: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
        """Around a synchronous call, until its answer begins: the headers that go with it."""
        context = _context(headers.get(_HEADER, ""))
        attributes = {"bridge.service": service}
        with self._tracer.start_as_current_span(
            "call", context, SpanKind.SERVER, attributes, record_exception=False
        ) as span:
            yield {**headers, _HEADER: header} if (header := _header(span)) else headers

    def follow(self, store: JobStore, event: JobEvent) -> None:
        """Make the spans of a job that is over; any other news is none."""
        if event.state.final and (found := store.detail(event.job)) is not None:
            self.ended(found)

    def ended(self, found: JobDetail) -> None:
        """Make the spans of a job that is over, if it is in a trace."""
        if found.job.trace:
            self._tell(found, _context(found.job.trace))

    def flush(self) -> None:
        """Send what is made, and wait for that as long as OpenTelemetry does."""
        flush = getattr(self._provider, "force_flush", None)
        if flush is not None:
            flush()

    def _tell(self, found: JobDetail, context: Context) -> None:
        begun = found.job.accepted
        for one, decision in _attempts(found):
            facts = _facts(found, one)
            policy = {"bridge.policy": str(decision["policy"])} if decision.get("policy") else {}
            placed = one.placed or (one.ended if one.state.final else None)
            failed = "" if one.placed else one.reason
            self._span("place", context, begun, placed, {**facts, **policy}, failed=failed)
            self._span("submit", context, one.placed, one.submitted, facts)
            self._run(found, one, context, facts)
            begun = one.ended or begun

    def _run(
        self, found: JobDetail, one: Attempt, context: Context, facts: Mapping[str, Any]
    ) -> None:
        event, last = found.job.event, one is found.attempts[-1]
        producer = self._products.get((event.provider, event.bucket, event.key))
        exit_code = {} if one.exit_code is None else {"bridge.exit_code": one.exit_code}
        run = self._span(
            "run",
            context,
            one.started,
            one.ended,
            {**facts, **exit_code},
            failed="" if one.state in _ENDS_WELL else one.reason or one.state.value,
            links=[Link(producer)] if producer else [],
        )
        if run is None or not last:
            return
        for output in found.outputs:
            self._products[output.provider, output.bucket, output.key] = run
        while len(self._products) > _PRODUCTS:
            self._products.popitem(last=False)
        self._phases(found.job.report, trace.set_span_in_context(trace.NonRecordingSpan(run)))

    def _phases(self, report: Mapping[str, Any], context: Context) -> None:
        """One after the other, as the supervisor has measured them."""
        begun, phases = report.get("started"), report.get("phases")
        if not isinstance(begun, int | float) or not isinstance(phases, Mapping):
            return
        for name in _PHASES:
            seconds = phases.get(name)
            if isinstance(seconds, int | float):
                self._span(name, context, begun, begun + seconds, {})
                begun += seconds

    def _span(
        self,
        name: str,
        context: Context,
        begin: float | None,
        end: float | None,
        attributes: Mapping[str, Any],
        *,
        failed: str = "",
        links: Sequence[Link] = (),
    ) -> SpanContext | None:
        """A span of the past; None where its times are not known."""
        if begin is None or end is None:
            return None
        span = self._tracer.start_span(
            name, context, SpanKind.INTERNAL, dict(attributes), links, start_time=_nanos(begin)
        )
        if failed:
            span.set_status(Status(StatusCode.ERROR, failed))
        span.end(_nanos(max(begin, end)))
        return span.get_span_context()


def _attempts(found: JobDetail) -> Iterator[tuple[Attempt, Mapping[str, Any]]]:
    """Each attempt with its decision: a fallback is taken on the one before."""
    decision: Mapping[str, Any] = {}
    decisions = iter(found.decisions)
    for one in found.attempts:
        decision = next(decisions, decision)
        yield one, decision


def _facts(found: JobDetail, one: Attempt) -> dict[str, Any]:
    """No name of an object, no user and nothing of the event: only what is needed to find it."""
    return {
        "bridge.job": found.job.id,
        "bridge.service": found.job.service,
        "bridge.attempt": one.number,
        "bridge.target": one.target,
    }


def _with_trace(item: NewJob, span: trace.Span) -> NewJob:
    return replace(item, trace=header) if (header := _header(span)) else item


def _header(span: trace.Span) -> str:
    carrier: dict[str, str] = {}
    _CARRIER.inject(carrier, trace.set_span_in_context(span))
    return carrier.get(_HEADER, "")


def _context(header: str) -> Context:
    """The context that a `traceparent` names, an empty one for none: nobody else's is taken."""
    return _CARRIER.extract({_HEADER: header} if header else {}, Context())


def _nanos(seconds: float) -> int:
    return int(seconds * 1e9)


def tracing_of(variables: Mapping[str, str]) -> Tracing | None:
    """What OpenTelemetry's own variables ask for, or a host program has set up; None for nothing.

    Spans go to `OTEL_EXPORTER_OTLP_ENDPOINT` by OTLP over HTTP, from a thread of their own, and are
    lost rather than waited for.
    """
    wanted = variables.get("OTEL_TRACES_EXPORTER", "")
    asked = bool(wanted) or any(variables.get(name) for name in _ENDPOINTS)
    if wanted not in ("", _OTLP) or variables.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if not asked:
        there = trace.get_tracer_provider()
        silent = isinstance(there, trace.ProxyTracerProvider | trace.NoOpTracerProvider)
        return None if silent else Tracing(there)
    try:
        return Tracing(_exporting(variables))
    except ImportError:
        _LOG.warning(
            "the environment asks for traces (OTEL_…), and OpenTelemetry's SDK is not installed:"
            " pip install 'oscar-bridge[otel]'"
        )
        return None


def _exporting(variables: Mapping[str, str]) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  an extra
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider as Provider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    named = variables.get("OTEL_SERVICE_NAME") or "service.name=" in variables.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    provider = Provider(resource=Resource.create({} if named else {"service.name": _NAME}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
