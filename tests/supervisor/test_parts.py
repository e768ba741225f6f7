"""The small parts: configuration, credentials, names of jobs, replies, work in threads."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.server import ThreadedMotoServer

import bridge.supervisor
from bridge.errors import AccessError, EventError, NotFoundError, PermanentError, UsageError
from bridge.events import decode
from bridge.secret import Secret
from bridge.supervisor import _tasks as tasks
from bridge.supervisor import (
    folder_secrets,
    managed_secrets,
    orders,
    parse_report,
    parse_service,
    script_secrets,
    secret_source,
    stores_for,
    sync_body,
)
from bridge.supervisor._stage import OutputFile
from bridge.supervisor.report import s3_place
from bridge.supervisor.sources import seconds


def test_every_public_name_is_there() -> None:
    assert sorted(bridge.supervisor.__all__, key=lambda n: (not n.isupper(), n)) == list(
        bridge.supervisor.__all__
    )
    assert all(getattr(bridge.supervisor, name) for name in bridge.supervisor.__all__)
    with pytest.raises(AttributeError):
        _ = bridge.supervisor.nothing


def test_a_service_in_upstreams_words() -> None:
    service = parse_service(
        {
            "name": "svc",
            "image": "ignored",
            "input": [{"storage_provider": "minio", "path": "/b/in/"}],
            "output": [{"storage_provider": "s3.mine", "path": "b//out", "suffix": "txt"}],
            "storage_providers": {"s3": {"mine": {"region": "eu-west-1"}}, "minio": None},
            "environment": {"Variables": {"A": 1}},
            "log_level": "debug",
        }
    )
    assert [(p.provider, p.bucket, p.folder) for p in service.inputs] == [
        ("minio.default", "b", "in")
    ]
    assert service.outputs[0].path == "b/out"
    assert service.outputs[0].suffix == ("txt",)
    assert service.providers == {"s3.mine": {"region": "eu-west-1"}}
    assert service.variables == {"A": "1"}
    assert service.log_level == "DEBUG"
    assert service.with_script(b"x").script == b"x"


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ([], "the service"),
        ({"output": {}}, "output"),
        ({"output": ["x"]}, r"output\[0\]"),
        ({"input": [{"path": 5}]}, r"input\[0\].path"),
        ({"storage_providers": {"s3": []}, "name": 3}, "name"),
        ({"storage_providers": {"s3": {"a": "x"}}}, r"storage_providers\.s3\.a"),
        ({"output": [{"path": "b", "prefix": [1]}]}, "prefix"),
    ],
)
def test_a_wrong_type_is_named(document: object, where: str) -> None:
    with pytest.raises(PermanentError, match=where):
        parse_service(document)


def test_credentials_in_files(tmp_path: Path) -> None:
    (tmp_path / "s3.x").mkdir()
    (tmp_path / "s3.x" / "..data").mkdir()
    (tmp_path / "s3.x" / "access_key").write_text("key\r\n")
    source = folder_secrets(str(tmp_path))
    assert source("s3.x") == {"access_key": Secret("key")}
    assert source("s3.y") == {}
    (tmp_path / "s3.x" / "secret_key").write_bytes(b"\xff\xfe")
    with pytest.raises(AccessError, match=r"s3\.x"):
        source("s3.x")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://{host}:{port}")
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    yield
    server.stop()


def test_credentials_in_secrets_manager(aws: None, tmp_path: Path) -> None:
    client = boto3.client("secretsmanager")
    values = {"minio": {"access_key": "k"}, "environment": {"TOKEN": "t\n"}, "s3.a": {"n": 1}}
    client.create_secret(Name="good", SecretString=json.dumps(values))
    client.create_secret(Name="bad", SecretString='{"minio.x": "hunter2"}')

    source = secret_source({"BRIDGE_SECRETS_ID": "good", "BRIDGE_SECRETS_DIR": str(tmp_path)})

    assert source("minio.default") == {"access_key": Secret("k")}
    assert source("s3.a") == {"n": Secret("1")}
    assert source("s3.other") == {}
    assert script_secrets(source) == {"TOKEN": "t\n"}
    with pytest.raises(NotFoundError, match="none"):
        managed_secrets("none")("x")
    with pytest.raises(AccessError, match="bad") as caught:
        managed_secrets("bad")("x")
    assert "hunter2" not in str(caught.value)


def test_upstreams_inline_credentials_and_endpoint() -> None:
    inline = {"access_key": "a", "secret_key": "b"}
    service = parse_service({"storage_providers": {"minio": {"default": inline}}})
    assert stores_for(service, lambda _: {})("minio") is not None
    broken = parse_service({"storage_providers": {"minio": {"default": {"access_key": 1}}}})
    with pytest.raises(PermanentError, match="must be text"):
        stores_for(broken, lambda _: {})("minio.default")


def test_names_of_jobs() -> None:
    records = {
        "Records": [
            {"eventSource": "aws:s3", "s3": {"bucket": {"name": "b"}, "object": {"key": k}}}
            for k in "xy"
        ]
    }
    wrapped = {"event": records, "job_id": "j-1", "attempt": 3}
    assert [(o.job, o.attempt) for o in orders(wrapped)] == [("j-1", 3), ("j-1-2", 3)]
    assert [(o.job, o.attempt) for o in orders(wrapped, "given", 5)] == [
        ("given", 5),
        ("given-2", 5),
    ]
    assert [(o.job, o.attempt) for o in orders(records)] == [("", 1), ("", 1)]
    assert orders(json.dumps(wrapped).encode())[0].job == "j-1"
    assert orders({"Event": "s3:TestEvent"}) == []
    for bad in ("a/b", "..", "-x", "x" * 200, "ñ"):
        with pytest.raises(EventError, match="name"):
            orders(records, bad)


def test_the_reply_has_a_limit(tmp_path: Path) -> None:
    (event,) = decode(b"x y")
    (tmp_path / "f").write_bytes(b"12345")
    files = [OutputFile("f", str(tmp_path / "f"))]
    assert sync_body(event, files, b"text", 5) == base64.b64encode(b"12345")
    with pytest.raises(PermanentError, match="5 bytes, the limit is 4"):
        sync_body(event, files, b"text", 4)
    assert sync_body(event, [], b"te\xffxt", 0) == b"text"


def test_places_and_numbers() -> None:
    assert s3_place("s3://b/a/c") == ("b", "a/c")
    assert s3_place("s3://b") == ("b", "")
    for bad in ("s3://", "b/a", "http://b/a"):
        with pytest.raises(UsageError):
            s3_place(bad)
    assert seconds("1.5", "T") == 1.5
    assert seconds("", "T") is None
    for text in ("0", "-1", "x", "inf", "nan"):
        with pytest.raises(UsageError, match="T must be"):
            seconds(text, "T")
    with pytest.raises(PermanentError):
        parse_report({"state": "succeeded"})


def test_work_in_threads_keeps_order_and_bounds() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def task(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return number

    found = tasks.run_all([lambda n=n: task(n) for n in range(20)], workers=3)  # type: ignore[misc]
    assert found == list(range(20))
    assert 1 < most <= 3
    assert tasks.run_all([], workers=3) == []


def test_the_first_error_stops_what_has_not_begun() -> None:
    begun: list[int] = []

    def task(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise PermanentError("second")
        time.sleep(0.05)

    with pytest.raises(PermanentError, match="second"):
        tasks.run_all([lambda n=n: task(n) for n in range(50)], workers=2)  # type: ignore[misc]
    assert len(begun) < 10


def test_a_deadline_does_not_wait() -> None:
    stop = threading.Event()
    with pytest.raises(tasks.OutOfTime):
        tasks.run_all([stop.wait], workers=1, deadline=time.monotonic() + 0.05)
    stop.set()
