"""Jobs as traces, as a collector gets them, and what is told where nobody collects."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bridge.dispatch.tracing import tracing_of
from tests.waiting import eventually

from .conftest import Live, basic, echo, minio, serve
from .test_jobs import finished

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
SECRET = "very-secret-value"
STAGES = ["stage_in", "script", "stage_out"]


@dataclass
class Collector:
    """A receiver of OTLP over HTTP."""

    spans: list[Any] = field(default_factory=list)
    raw: bytes = b""

    def take(self, body: bytes) -> None:
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def of(self, job: str, name: str) -> list[Any]:
        return [s for s in self.spans if s.name == name and facts(s).get("bridge.job") == job]

    def below(self, span: Any) -> list[Any]:
        return sorted(
            (s for s in self.spans if s.parent_span_id == span.span_id),
            key=lambda s: s.start_time_unix_nano,
        )


def facts(span: Any) -> dict[str, Any]:
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, str]]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            packed = self.headers.get("Content-Encoding") == "gzip"
            found.take(gzip.decompress(body) if packed else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def traced(
    tmp_path_factory: pytest.TempPathFactory, collector: tuple[Collector, str]
) -> Iterator[Live]:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector[1], "OTEL_BSP_SCHEDULE_DELAY": "50"}
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in settings.items():
            patch.setenv(name, value)
        tracing = tracing_of(settings)
        assert tracing is not None
        yield serve(tmp_path_factory.mktemp("traced"), stack, tracing=tracing)


def test_a_pipeline_is_seen_from_its_event_to_its_last_output(
    traced: Live, collector: tuple[Collector, str]
) -> None:
    found, _ = collector
    script = 'echo "$TRACEPARENT" > "$TMP_OUTPUT_DIR/told"; cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR"'
    secrets = {"secrets": {"KEY": SECRET}}
    first = echo(name="first", script=script, output=minio("mid/in"), environment=secrets)
    for service in (first, echo(name="second", input=minio("mid/in"))):
        assert traced.ask("POST", "/system/services", service).status == 201
    answer = traced.ask("POST", "/job/first", b"private", {**basic(), "traceparent": PARENT})
    assert answer.status == 201
    (one,), (two, other) = finished(traced, "first"), finished(traced, "second", 2)
    for job in (one, two, other):
        assert eventually(lambda job=job: bool(found.of(job, "run")))  # type: ignore[misc]
    # One trace, below the caller's span.
    (accept,) = found.of(one, "accept")
    assert (accept.trace_id.hex(), accept.parent_span_id.hex()) == (TRACE, SPAN)
    assert [span.name for span in found.below(accept)] == ["place", "submit", "run"]
    (place,), (run,) = found.of(one, "place"), found.of(one, "run")
    assert facts(place) == {
        "bridge.job": one,
        "bridge.service": "first",
        "bridge.attempt": 1,
        "bridge.target": "local",
        "bridge.policy": "balanced",
    }
    assert facts(run)["bridge.target"] == "local"
    assert eventually(lambda: [span.name for span in found.below(run)] == STAGES)
    for span in (accept, place, run, *found.below(run)):
        assert span.start_time_unix_nano <= span.end_time_unix_nano
    # The script was told where its own spans belong.
    told = f"00-{TRACE}-{accept.span_id.hex()}-01"
    assert traced.manager.parts.jobs.job(one).trace == told  # type: ignore[union-attr]
    logs = [traced.ask("GET", f"/system/logs/second/{job}").text for job in (two, other)]
    assert any(told in log for log in logs)
    # The next stage is a trace of its own, with a link to what made its input.
    (later,) = found.of(two, "run")
    assert later.trace_id != run.trace_id
    assert [link.span_id for link in later.links] == [run.span_id]
    for secret in (SECRET, "private", traced.token_of("first"), "told"):
        assert secret.encode() not in found.raw


def test_what_fails_and_what_is_called_is_seen_too(
    traced: Live, collector: tuple[Collector, str]
) -> None:
    found, _ = collector
    traced.create(name="fails", script="exit 3")
    assert traced.ask("POST", "/job/fails", b"x").status == 201
    (job,) = finished(traced, "fails")
    assert eventually(lambda: bool(found.of(job, "run")))
    (run,) = found.of(job, "run")
    assert (facts(run)["bridge.exit_code"], run.status.code) == (3, 2)
    assert run.status.message == "the script ended with exit status 3"
    called = traced.ask("POST", "/run/fails", b"x", {**basic(), "traceparent": PARENT})
    assert called.status == 500

    def parents() -> list[str]:
        return [s.parent_span_id.hex() for s in found.spans if s.name == "call"]

    assert eventually(lambda: parents() == [SPAN])


def test_without_a_collector_the_callers_trace_goes_with_the_job(live: Live) -> None:
    for said, kept in ((PARENT, PARENT), ("00-x; rm -rf /", ""), ("", "")):
        name = live.create(script='echo "[$TRACEPARENT]"')
        live.ask("POST", f"/job/{name}", b"x", {**basic(), "traceparent": said})
        (job,) = finished(live, name)
        assert f"[{kept}]" in live.ask("GET", f"/system/logs/{name}/{job}").text


def test_only_opentelemetrys_variables_ask_for_traces() -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    assert tracing_of({}) is None
    assert tracing_of(endpoint | {"OTEL_TRACES_EXPORTER": "none"}) is None
    assert tracing_of(endpoint | {"OTEL_SDK_DISABLED": "true"}) is None
    assert tracing_of({"OTEL_TRACES_EXPORTER": "otlp"}) is not None
