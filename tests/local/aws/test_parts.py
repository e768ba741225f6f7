"""The parts of the endpoint that can be tested without one."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from bridge.errors import NotFoundError
from bridge.local.aws._access import Gate
from bridge.local.aws._limits import batch_limits, lambda_limits
from bridge.local.aws._logs import LogWriter
from bridge.local.aws.batch import retry
from bridge.local.aws.batch._plan import fill
from bridge.local.aws.batch.cloudformation import camel
from bridge.local.aws.batch.model import Attempt, ExitRule
from bridge.local.aws.functions import AsyncEvent, AsyncInvoker, AsyncPolicy, Reply, refusal
from bridge.local.aws.functions._http import BadRequest, Request, read_request
from bridge.local.aws.model import LogEvent, Scope, Settings
from tests.waiting import eventually

HERE = Scope("000000000000", "us-east-1")


class Recorder:
    """A cloud that remembers."""

    def __init__(self) -> None:
        self.logs: dict[str, list[str]] = {}
        self.sent: list[tuple[str, Any, Any]] = []
        self.missing: set[str] = set()

    def put_logs(self, scope: Scope, group: str, stream: str, events: Sequence[LogEvent]) -> None:
        self.logs.setdefault(stream, []).extend(text for _, text in events)

    def deliver(
        self, scope: Scope, target: str, body: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        if target in self.missing:
            raise NotFoundError(f"{target} is not there")
        self.sent.append((target, json.loads(body), attributes))

    def put_event(self, *_: Any) -> None:
        raise AssertionError("not used here")


# HTTP


def parse(raw: bytes, limit: int = 1000) -> list[Request]:
    class Sink:
        def __init__(self) -> None:
            self.data = b""

        def write(self, data: bytes) -> None:
            self.data += data

    async def all_of_it() -> list[Request]:
        reader = asyncio.StreamReader(limit=65_536)
        reader.feed_data(raw)
        reader.feed_eof()
        found = []
        while request := await read_request(reader, Sink(), limit):  # type: ignore[arg-type]
            found.append(request)
        return found

    return asyncio.run(all_of_it())


def test_requests_of_one_connection_are_told_apart() -> None:
    raw = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nX-Y:  z \r\n\r\nabcGET /b HTTP/1.1\r\n\r\n"
    first, second = parse(raw)
    assert (first.method, first.path, first.body, first.headers["x-y"]) == (
        "POST",
        "/a",
        b"abc",
        "z",
    )
    assert (second.method, second.path, second.body) == ("GET", "/b", b"")


def test_chunked_bodies_are_put_together() -> None:
    head = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw = head + b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"
    [request] = parse(raw)
    assert request.body == b"abc0123456789"


def test_a_body_above_the_limit_is_dropped_and_the_next_request_is_whole() -> None:
    raw = (
        b"POST /a HTTP/1.1\r\nContent-Length: 2000\r\n\r\n"
        + b"x" * 2000
        + b"GET /b HTTP/1.1\r\n\r\n"
    )
    first, second = parse(raw)
    assert (first.cut, first.body) == (True, b"")
    assert second.path == "/b"


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET /a HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
        b"GET /a HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"GET /a HTT",
    ],
)
def test_what_is_no_http_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        parse(raw)


# Who may come in


def enter(path: str, headers: list[tuple[bytes, bytes]], query: bytes = b"") -> bool:
    reached = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)

    async def send(message: Any) -> None:
        assert message.get("status", 403) == 403

    async def receive() -> Any:
        raise AssertionError("the body is not read")

    gate = Gate(app, lambda key: key == "MINE")
    scope = {"type": "http", "path": path, "headers": headers, "query_string": query}
    asyncio.run(gate(scope, receive, send))
    return bool(reached)


def test_only_keys_of_the_session_and_public_paths_come_in() -> None:
    def signed(key: str) -> list[tuple[bytes, bytes]]:
        value = f"AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/s3/aws4_request, Signature=x"
        return [(b"authorization", value.encode())]

    assert enter("/", signed("MINE"))
    assert not enter("/", signed("OTHER"))
    assert not enter("/", signed("MINEX"))
    assert not enter("/", [])
    assert enter("/b/k", [], b"X-Amz-Credential=MINE%2F20260101%2Fus-east-1%2Fs3%2Faws4_request")
    assert not enter("/b/k", [], b"X-Amz-Credential=X%2F20260101%2Fus-east-1%2Fs3%2Faws4_request")
    assert enter("/_ministack/health", [])
    assert not enter("/_ministack/reset", [])
    assert enter("/x", [(b"host", b"abc.execute-api.localhost:1")])


# Lambda


def test_only_invocations_and_definitions_are_looked_at() -> None:
    big = b'"' + b"x" * lambda_limits().request_bytes + b'"'
    path = "/2015-03-31/functions/f/invocations"
    refused = refusal("POST", path, {}, big)
    assert refused is not None
    assert (refused.status, refused.code) == (413, "RequestTooLargeException")
    assert refusal("POST", "/2015-03-31/layers/x/versions", {}, big) is None
    assert refusal("POST", path, {}, b"") is None
    assert refusal("POST", path, {}, b"[" * 100_000) is not None


def make_event(replies: list[Reply], **policy: Any) -> tuple[AsyncEvent, list[int]]:
    calls: list[int] = []

    def execute() -> Reply:
        calls.append(1)
        return replies[min(len(calls), len(replies)) - 1]

    rules = {"retries": 2, "max_age": 100.0, **policy}
    event = AsyncEvent(HERE, "arn:f", "$LATEST", "id", {"a": 1}, AsyncPolicy(**rules), execute)
    return event, calls


def test_an_event_that_is_too_old_is_given_up() -> None:
    cloud = Recorder()
    invoker = AsyncInvoker(cloud, Settings(retry_delays=(0.01,), async_workers=1))
    event, calls = make_event([Reply({}, "Unhandled")], max_age=0.0, on_failure="arn:q")
    invoker.accept(event)
    eventually(lambda: cloud.sent)
    invoker.close()
    assert len(calls) == 1
    assert cloud.sent[0][1]["requestContext"]["condition"] == "EventAgeExceeded"


def test_a_broken_event_or_a_missing_target_does_not_stop_the_queue() -> None:
    cloud = Recorder()
    cloud.missing = {"arn:gone"}
    invoker = AsyncInvoker(cloud, Settings(retry_delays=(0.01,), async_workers=1))

    def explode() -> Reply:
        raise RuntimeError("no")

    policy = AsyncPolicy(0, 100.0)
    invoker.accept(AsyncEvent(HERE, "arn:f", "$LATEST", "id", {}, policy, explode))
    invoker.accept(make_event([Reply(1)], on_success="arn:gone")[0])
    invoker.accept(make_event([Reply(1)], on_success="arn:q")[0])
    eventually(lambda: cloud.sent)
    invoker.close()
    assert [target for target, _, _ in cloud.sent] == ["arn:q"]


# Logs


def test_lines_of_many_writers_are_all_kept_in_order() -> None:
    cloud = Recorder()
    writer = LogWriter(cloud, 100_000_000)
    streams = [writer.stream(HERE, "g", f"s{n}") for n in range(4)]

    def write(place: int) -> None:
        for number in range(3_000):
            streams[place].write(str(number))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    wanted = [str(n) for n in range(3_000)]
    eventually(lambda: all(cloud.logs.get(f"s{n}") == wanted for n in range(4)))


def test_what_is_not_kept_is_said() -> None:
    cloud = Recorder()
    writer = LogWriter(cloud, 10_000)
    stream = writer.stream(HERE, "g", "s")
    for _ in range(100):
        stream.write("x" * 100)
    stream.close()
    writer.close()
    *kept, last = cloud.logs["s"]
    assert 0 < len(kept) < 100
    assert last.endswith("more bytes of output were not kept")


# Batch


@pytest.mark.parametrize(
    ("rule", "attempt", "expected"),
    [
        (ExitRule("EXIT", exit_code="1*"), Attempt(0, exit_code=137), False),
        (ExitRule("EXIT", exit_code="1"), Attempt(0, exit_code=137), True),
        (ExitRule("EXIT", exit_code="1"), Attempt(0, exit_code=None), True),
        (ExitRule("EXIT", reason="cannotpull*"), Attempt(0, reason="CannotPullX"), False),
        (ExitRule("EXIT"), Attempt(0), False),
        (ExitRule("RETRY", status_reason="Host EC2*"), Attempt(0), True),
    ],
)
def test_rules_of_retry(rule: ExitRule, attempt: Attempt, expected: bool) -> None:
    assert retry.again(attempt, 1, 3, [rule]) is expected
    assert retry.again(attempt, 3, 3, [rule]) is False


def test_parameters_fill_whole_words_and_parts_of_them() -> None:
    known = {"a": "1", "a-b": "2"}
    assert fill("Ref::a", known) == "1"
    assert fill("s3://Ref::a/Ref::a-b", known) == "s3://1/2"
    assert fill("Ref::other", known) == "Ref::other"


def test_properties_of_a_template_become_a_body() -> None:
    given = {
        "JobDefinitionName": "d",
        "Parameters": {"Keep": "Me"},
        "Tags": [{"Key": "K", "Value": "V"}],
        "ContainerProperties": {"Environment": [{"Name": "A", "Value": "B"}], "Vcpus": 1},
    }
    assert camel(given) == {
        "jobDefinitionName": "d",
        "parameters": {"Keep": "Me"},
        "tags": {"K": "V"},
        "containerProperties": {"environment": [{"name": "A", "value": "B"}], "vcpus": 1},
    }


def test_the_limits_are_read_from_their_file() -> None:
    assert lambda_limits().memory_mb.max == 10_240
    assert 10_241 not in lambda_limits().memory_mb
    assert batch_limits().array_size.min == 2
