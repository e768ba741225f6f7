"""What AWS refuses or breaks, injected: a server that answers as AWS does when it says no."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from bridge.deploy import Silent, plan, secret_steps, write_secret
from bridge.deploy._faults import asked
from bridge.deploy._stacks import Stacks
from bridge.errors import AccessError, BridgeError, PermanentError, TargetUnavailable
from bridge.fdl import load
from bridge.targets.aws import Account, AccountSettings
from tests.command import write
from tests.deploy.assemblies import PACE, Bench

KEYS = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "x"}
NO = (
    "User: arn:aws:iam::123456789012:user/eve is not authorized to perform: "
    "cloudformation:DescribeStacks on resource: arn:aws:cloudformation:us-east-1:1:stack/a/*"
)


def error(code: str, message: str) -> str:
    return (
        "<ErrorResponse><Error><Type>Sender</Type>"
        f"<Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    )


@contextmanager
def saying(answers: list[tuple[int, str]]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers, the last one for ever; its URL and what it was asked."""
    asked_for: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            asked_for.append(parse_qs(body).get("Action", [""])[0])
            status, text = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked_for
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def account(url: str, **settings: Any) -> Account:
    return Account(AccountSettings(endpoint=url, credentials=KEYS, **settings))


def describe(one: Account) -> None:
    with asked(one, "cloudformation", "stack a"):
        one.client("cloudformation").describe_stacks(StackName="a")


def test_a_missing_permission_is_named_with_its_resource() -> None:
    with (
        saying([(403, error("AccessDenied", NO))]) as (url, _),
        pytest.raises(AccessError) as refused,
    ):
        describe(account(url))
    assert "may not cloudformation:DescribeStacks on arn:aws:cloudformation" in (
        refused.value.message
    )
    assert "user/eve" in refused.value.hint


def test_throttling_is_waited_for() -> None:
    name = "DescribeStacks"
    found = f"<{name}Response><{name}Result><Stacks/></{name}Result></{name}Response>"
    slow = (400, error("Throttling", "Rate exceeded"))
    broken = (503, error("ServiceUnavailable", "try later"))
    with saying([slow, broken, slow, slow, (200, found)]) as (url, asked_for):
        describe(account(url, patient=True))
        assert len(asked_for) == 5


def test_an_operation_that_the_endpoint_does_not_know_is_said() -> None:
    with (
        saying([(400, error("InvalidAction", "Unknown action"))]) as (url, _),
        pytest.raises(PermanentError, match="does not know DescribeStacks") as refused,
    ):
        describe(account(url))
    assert "--region" in refused.value.hint


def test_a_region_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    one = account("http://127.0.0.1:9", region="xx-moon-1")
    with pytest.raises(PermanentError, match="no cloudformation in region 'xx-moon-1'"):
        describe(one)
    with pytest.raises(TargetUnavailable, match=r"127\.0\.0\.1:9"):
        describe(account("http://127.0.0.1:9"))


def test_no_credentials_have_a_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(AccessError, match="no usable AWS credentials") as refused:
        describe(Account(AccountSettings(endpoint="http://127.0.0.1:9")))
    assert "AWS_PROFILE" in refused.value.hint


def test_a_name_in_another_region_is_refused(bench: Bench) -> None:
    folder = bench.new()
    folder.stack(bench.stack_name, bench.one(), deployment=bench.name)
    folder.artifacts[bench.stack_name]["environment"] = "aws://000000000000/eu-west-1"
    folder.stack(f"{bench.stack_name}-2", bench.one(), deployment=bench.name)
    with pytest.raises(PermanentError, match="is for eu-west-1"):
        plan(folder.read(bench.name), bench.account, pace=PACE)


FDL = """
storage_providers:
  minio:
    default: {endpoint: 'http://localhost:9000', access_key: someone, secret_key: s3cr3t-value}
functions:
  aws:
  - lambda:
      name: NAME
      runtime: image
      container: {image: 'oscar-bridge/busybox:local'}
      init_script: one.sh
      output:
      - {storage_provider: minio.default, path: out}
"""


def test_secrets_are_written_once_and_come_back_from_deletion(bench: Bench, tmp_path: Path) -> None:
    name = f"{bench.prefix}-one"
    folder = write(tmp_path, {"f.yaml": FDL.replace("NAME", name), "one.sh": "true\n"})
    document = load(folder / "f.yaml")

    def steps() -> list[Any]:
        return list(secret_steps(bench.account, document, [name], "app"))

    (step,) = steps()
    assert (step.name, step.action) == (f"{bench.prefix}/{name}", "create")
    assert "s3cr3t" not in repr(step) + repr(step.changes)
    write_secret(bench.account, step)
    assert not steps()
    client = bench.client("secretsmanager")
    told = client.get_secret_value(SecretId=step.name)["SecretString"]
    assert "s3cr3t-value" in told and "someone" in told
    client.put_secret_value(SecretId=step.name, SecretString="{}")
    (again,) = steps()
    assert again.action == "update"
    client.delete_secret(SecretId=step.name, RecoveryWindowInDays=7)
    (back,) = steps()
    assert back.action == "create"
    write_secret(bench.account, back)
    assert not steps()


def test_an_error_that_is_none_of_these_stays_as_it_is() -> None:
    with (
        saying([(400, error("ValidationError", "Stack with id a does not exist"))]) as (url, _),
        pytest.raises(BridgeError, match="does not exist"),
    ):
        describe(account(url))


STACK = """<DescribeStacksResponse><DescribeStacksResult><Stacks><member>
<StackName>a</StackName><StackId>arn:aws:cloudformation:us-east-1:1:stack/a/1</StackId>
<CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>{}</StackStatus>
</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"""
NO_EVENTS = """<DescribeStackEventsResponse><DescribeStackEventsResult><StackEvents/>
</DescribeStackEventsResult></DescribeStackEventsResponse>"""
GOES_ON = """<ContinueUpdateRollbackResponse><ContinueUpdateRollbackResult/>
</ContinueUpdateRollbackResponse>"""


def test_a_rollback_that_has_failed_is_continued() -> None:
    stuck, ended = STACK.format("UPDATE_ROLLBACK_FAILED"), STACK.format("UPDATE_ROLLBACK_COMPLETE")
    answers = [(200, text) for text in (stuck, GOES_ON, ended, ended, NO_EVENTS)]
    with saying(answers) as (url, asked_for):
        stacks = Stacks(account(url), Silent(), pace=PACE)
        found = stacks.look("a")
        assert found is not None
        assert found.stuck
        stacks.unstick("a")
    assert asked_for[1] == "ContinueUpdateRollback"


def test_one_that_fails_again_says_so() -> None:
    stuck = STACK.format("UPDATE_ROLLBACK_FAILED")
    answers = [(200, text) for text in (GOES_ON, stuck, stuck, NO_EVENTS)]
    with saying(answers) as (url, _), pytest.raises(PermanentError) as caught:
        Stacks(account(url), Silent(), pace=PACE).unstick("a")
    assert "stack a" in caught.value.message
    assert "continue-update-rollback" in f"{caught.value.message} {caught.value.hint}"
