"""`invoke` and `submit`: bytes to a service and back, and files that become jobs."""

from __future__ import annotations

import subprocess
from base64 import b64encode

import pytest
from botocore.exceptions import ReadTimeoutError

from bridge.errors import TargetUnavailable
from bridge.operate import deployed
from bridge.operate.invoke import invoke
from tests.command import COMMAND, environment
from tests.operate.world import World
from tests.waiting import eventually


def test_a_reply_is_what_the_script_said_byte_for_byte(world: World) -> None:
    body = "a\x00 é \r\n".encode()
    done = subprocess.run(
        [COMMAND, "invoke", "answer"],
        input=body,
        env=environment(**world.env),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"got:" + body
    for body in (b"hello", b'{"a": [1]}', b"", b"1234"):
        told = world.run("invoke", "answer", world.file("body", body))
        assert (told.status, told.out.encode()) == (0, b"got:" + body), told.err


def test_a_file_goes_in_and_the_reply_into_a_file(world: World) -> None:
    file, reply = world.file("question.bin", b"\x01\x02"), world.folder / "reply.bin"
    done = world.run("invoke", "answer", file, "-o", reply)
    assert (done.status, done.out) == (0, "")
    assert reply.read_bytes() == b"got:\x01\x02"


def test_a_reply_that_is_a_file_is_decoded_when_asked(world: World) -> None:
    body = b"FILE\x00\xff\xfe\r\n"
    file, reply = world.file("request.bin", body), world.folder / "decoded.bin"
    assert world.run("invoke", "answer", file).out.encode() == b64encode(body)
    assert world.run("invoke", "answer", file, "-d", "-o", reply).status == 0
    assert reply.read_bytes() == body
    text = world.file("text.txt", b"no base64!")
    assert "not base64" in world.run("invoke", "answer", text, "-d").failed(1)


def test_a_script_that_fails_is_status_1_with_its_log(world: World) -> None:
    said = world.run("invoke", "broken", world.file("x.txt")).failed(1)
    assert "broken failed" in said
    assert "about to break" in said


def test_a_service_on_batch_only_cannot_be_invoked(world: World) -> None:
    said = world.run("invoke", "count", world.file("x.txt")).failed(2)
    assert "AWS Batch only" in said
    assert "oscar-bridge submit count" in said


def test_what_is_too_large_for_lambda_is_not_sent(world: World) -> None:
    said = world.run("invoke", "answer", world.file("large.bin", bytes(6 << 20))).failed(2)
    assert "too large" in said


def test_a_request_is_asked_once(world: World) -> None:
    """A connection that breaks off must not run the script again."""
    account = world.account
    calls: list[str] = []

    def cut(**_: object) -> None:
        raise ReadTimeoutError(endpoint_url="http://cut")

    real = account.asking_once

    def asking(service: str, timeout: float) -> object:
        client = real(service, timeout)
        client.meta.events.register("before-send.lambda.Invoke", lambda **k: calls.append("x"))
        client.meta.events.register("before-send.lambda.Invoke", cut)
        return client

    account.asking_once = asking  # type: ignore[method-assign]
    try:
        with pytest.raises(TargetUnavailable) as caught:
            invoke(account, deployed.service(account, "answer"), b"x")
    finally:
        account.asking_once = real  # type: ignore[method-assign]
    assert calls == ["x"]
    assert "not asked again" in caught.value.hint


def test_files_are_uploaded_below_the_input_and_waited_for(world: World) -> None:
    files = [world.file(f"sub/{name}.txt", name.encode()) for name in ("left", "right")]
    found = world.ok("submit", "shout", *files, "--wait")
    assert [one["url"] for one in found["files"]] == [
        "s3://day-two/shout/in/left.txt",
        "s3://day-two/shout/in/right.txt",
    ]
    assert {(job["state"], job["input"]) for job in found["jobs"]} == {
        ("succeeded", "day-two/shout/in/left.txt"),
        ("succeeded", "day-two/shout/in/right.txt"),
    }
    assert world.objects("shout/out/left.txt") == {"shout/out/left.txt": b"LEFT"}


def test_the_same_file_again_is_another_job(world: World) -> None:
    file = world.file("again.txt", b"again")
    first = world.ok("submit", "shout", file, "--wait")["jobs"]
    second = world.ok("submit", "shout", file, "--wait")["jobs"]
    assert len(first) == len(second) == 1
    assert first[0]["id"] != second[0]["id"]


def test_a_job_that_fails_is_status_1(world: World) -> None:
    done = world.run("submit", "broken-batch", world.file("f.txt"), "--wait")
    assert done.status == 1
    assert "failed" in done.out


def test_a_service_without_an_input_gets_events_with_known_jobs(world: World) -> None:
    files = [world.file("event-1.txt", b"four"), world.file("event-2.txt", b"\xff\x00two")]
    found = world.ok("submit", "answer", *files, "--wait")
    jobs = [job for one in found["files"] for job in one["jobs"]]
    assert len(set(jobs)) == 2
    assert {job["id"] for job in found["jobs"]} == set(jobs)
    assert {job["state"] for job in found["jobs"]} == {"succeeded"}
    out = eventually(lambda: world.run("logs", "answer", "--job", jobs[0]).out)
    assert "got:four" in out


def test_an_event_may_be_larger_than_any_queue_takes(world: World) -> None:
    file = world.file("large-event.bin", b"x" * 1_500_000)
    found = world.ok("submit", "answer", file, "--wait")
    assert [job["state"] for job in found["jobs"]] == ["succeeded"]


def test_a_file_that_the_filters_do_not_take_is_refused_before_anything(world: World) -> None:
    good, bad = world.file("good.txt"), world.file("bad.csv")
    said = world.run("submit", "shout", good, bad).failed(2)
    assert "bad.csv would start nothing" in said and ".txt" in said
    assert world.objects("shout/in/good.txt") == {}


def test_waiting_has_an_end(world: World) -> None:
    done = world.run("submit", "slow", world.file("w.txt"), "--wait", "--timeout", "0")
    assert "they go on" in done.failed(1)
