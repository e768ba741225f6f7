"""Signed calls of AWS's JSON services, against servers that say what a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bridge.errors import AccessError, NotFoundError, PermanentError, TargetUnavailable
from bridge.storage.aws import Call, call

Says = Callable[[int, object], list[dict[str, Any]]]
CALL = Call("secretsmanager", "read it", {"SecretId": "x"}, target="secretsmanager.GetSecretValue")


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Iterator[Says]:
    """Make the service say this; the requests that it gets."""
    seen: list[dict[str, Any]] = []
    answers: list[tuple[int, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen.append({"path": self.path, "headers": headers, "body": json.loads(body)})
            status, text = answers[min(len(seen), len(answers)) - 1]
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    for name in ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the-token")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")

    def say(status: int, answer: object) -> list[dict[str, Any]]:
        answers.append((status, json.dumps(answer).encode()))
        return seen

    yield say
    server.shutdown()
    server.server_close()


def test_a_call_is_signed_for_its_service(says: Says) -> None:
    seen = says(200, {"SecretString": "{}"})
    assert call(CALL) == {"SecretString": "{}"}
    (request,) = seen
    assert request["body"] == {"SecretId": "x"}
    assert request["headers"]["x-amz-target"] == "secretsmanager.GetSecretValue"
    assert "/eu-west-1/secretsmanager/aws4_request" in request["headers"]["authorization"]
    assert request["headers"]["x-amz-security-token"] == "the-token"


def test_a_service_may_have_an_endpoint_of_its_own(
    says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = says(200, {})
    import os  # noqa: PLC0415

    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", os.environ["AWS_ENDPOINT_URL"] + "/sm/")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert call(CALL) == {}
    assert seen[0]["path"] == "/sm/"


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "com.amazonaws#ResourceNotFoundException", NotFoundError),
        (400, "AccessDeniedException", AccessError),
        (403, "InvalidSignatureException", AccessError),
        (400, "ExpiredTokenException", AccessError),
        (400, "ThrottlingException", TargetUnavailable),
        (500, "InternalServiceError", TargetUnavailable),
        (429, "", TargetUnavailable),
        (400, "ClientException", PermanentError),
    ],
)
def test_refusals_have_a_kind_and_tell_no_secret(
    says: Says, status: int, kind: str, error: type[Exception]
) -> None:
    said = "the token the-token is not known" if error is AccessError else "because"
    says(status, {"__type": kind, "message": said})
    with pytest.raises(error) as caught:
        call(CALL._replace(tries=1))
    assert type(caught.value) is error
    assert "read it" in str(caught.value)
    assert "the-token" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_what_may_pass_is_tried_again(says: Says) -> None:
    says(503, {})
    seen = says(200, {"jobId": "1"})
    assert call(CALL) == {"jobId": "1"}
    assert len(seen) == 2


def test_what_must_not_happen_twice_is_sent_once(says: Says) -> None:
    seen = says(503, {})
    with pytest.raises(TargetUnavailable):
        call(CALL._replace(tries=1))
    assert len(seen) == 1


def test_an_answer_that_is_no_object(says: Says) -> None:
    says(200, ["x"])
    with pytest.raises(PermanentError, match="no JSON object"):
        call(CALL)


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(TargetUnavailable, match=r"127\.0\.0\.1:9"):
        call(CALL._replace(tries=2))
