"""Every kind of payload, sent to a real process over a real Runtime API."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tests.lambda_runtime.conftest import Start
from tests.servers import ObjectStore


def text_of(value: dict[str, object]) -> str:
    """The body of a successful response."""
    assert value["isBase64Encoded"] is True
    return base64.b64decode(str(value["body"])).decode()


def test_a_direct_invocation_has_scars_response(start: Start, outputs: Path) -> None:
    function = start('cat "$INPUT_FILE_PATH"; cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/copy.json"')
    answer = function.invoke({"x": [1, 2]})
    assert answer.ok
    assert answer.value["statusCode"] == 200
    assert set(answer.value["headers"]) == {
        "amz-lambda-request-id",
        "amz-log-group-name",
        "amz-log-stream-name",
    }
    assert answer.value["headers"]["amz-log-group-name"] == "/aws/lambda/f"
    assert json.loads((outputs / "out" / "copy.json").read_text()) == {"x": [1, 2]}


def test_the_reply_is_the_scripts_text(start: Start) -> None:
    function = start("echo out; echo err >&2", service={"output": []})
    assert text_of(function.invoke({}).value) == "out\nerr\n"
    assert "out\nerr\n" in function.text()


def test_one_file_is_the_reply_as_on_a_cluster(start: Start) -> None:
    function = start('printf "\\001\\002" > "$TMP_OUTPUT_DIR/f"', service={"output": []})
    reply = text_of(function.invoke({}).value)
    assert base64.b64decode(reply) == b"\x01\x02"


def test_a_script_in_the_payload_comes_first(start: Start) -> None:
    function = start("echo configured", service={"output": []})
    script = base64.b64encode(b"echo brought").decode()
    payload = {"script": script, "cmd_args": '["echo", "command"]'}
    assert text_of(function.invoke(payload).value) == "brought\n"
    assert text_of(function.invoke({}).value) == "configured\n"


def test_cmd_args_are_passed_word_by_word(start: Start) -> None:
    function = start("echo configured", service={"output": []})
    words = ["printf", "[%s]", "a  b", "it's", "*", "$HOME", ""]
    expected = "[a  b][it's][*][$HOME][]"
    assert text_of(function.invoke({"cmd_args": json.dumps(words)}).value) == expected
    assert text_of(function.invoke({"cmd_args": words}).value) == expected
    assert function.invoke({"cmd_args": "[]"}).value["errorType"] == "EventError"


def test_a_delegated_event_names_its_job(start: Start, tmp_path: Path) -> None:
    function = start(
        'cat "$INPUT_FILE_PATH"; echo $JOB_UUID',
        service={"output": []},
        environment={"BRIDGE_REPORT": f"{tmp_path}/reports/"},
    )
    (tmp_path / "reports").mkdir()
    answer = function.invoke({"event": "hello!\n", "job_id": "job-7", "attempt": 3})
    assert text_of(answer.value) == "hello!\njob-7\n"
    report = json.loads((tmp_path / "reports" / "job-7.json").read_text())
    assert (report["attempt"], report["state"]) == (3, "succeeded")


def test_equal_raw_payloads_are_two_jobs(start: Start) -> None:
    function = start("echo $JOB_UUID $AWS_LAMBDA_REQUEST_ID", service={"output": []})
    first, second = (text_of(function.invoke({"same": 1}).value).split() for _ in range(2))
    assert first[0] != second[0]
    assert first[1] != second[1]


def record(bucket: str, key: str) -> dict[str, object]:
    return {
        "eventSource": "minio:s3",
        "eventName": "s3:ObjectCreated:Put",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "s3": {"bucket": {"name": bucket}, "object": {"key": key}},
    }


def with_minio(store: ObjectStore, bucket: str, secrets: Path) -> dict[str, object]:
    """A service with its input and output in the object store, its credentials as files."""
    for name, value in store.secrets.items():
        (secrets / "minio.default").mkdir(parents=True, exist_ok=True)
        (secrets / "minio.default" / name).write_text(value)
    return {
        "input": [{"storage_provider": "minio.default", "path": f"{bucket}/in"}],
        "output": [{"storage_provider": "minio.default", "path": f"{bucket}/out"}],
        "storage_providers": {"minio": {"default": store.settings}},
    }


def test_storage_events_from_object_to_object(
    start: Start, object_store: ObjectStore, tmp_path: Path
) -> None:
    bucket = object_store.make_bucket()
    for name in ("in/a b+c.txt", "in/ñ.txt"):
        object_store.client().fput_object(bucket, name, __file__)
    function = start(
        'wc -c < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$STORAGE_OBJECT_KEY").size"',
        service=with_minio(object_store, bucket, tmp_path / "secrets"),
        environment={"BRIDGE_SECRETS_DIR": str(tmp_path / "secrets")},
    )
    records = [record(bucket, "in%2Fa+b%2Bc.txt"), record(bucket, "in%2F%C3%B1.txt")]
    answer = function.invoke({"Records": records})
    assert answer.ok, answer.body
    found = {o.object_name for o in object_store.client().list_objects(bucket, "out/")}
    assert found == {"out/a b+c.txt.size", "out/ñ.txt.size"}


def test_a_missing_object_is_a_failed_invocation(
    start: Start, object_store: ObjectStore, tmp_path: Path
) -> None:
    bucket = object_store.make_bucket()
    function = start(
        "true",
        service=with_minio(object_store, bucket, tmp_path / "secrets"),
        environment={"BRIDGE_SECRETS_DIR": str(tmp_path / "secrets")},
    )
    answer = function.invoke({"Records": [record(bucket, "in/absent")]})
    assert not answer.ok
    assert answer.value["errorType"] == "StageInError"
    assert "in/absent" in answer.value["errorMessage"]


def test_a_test_event_starts_nothing(start: Start) -> None:
    function = start("echo ran", service={"output": []})
    answer = function.invoke({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"})
    assert answer.ok
    assert text_of(answer.value) == ""


def test_eventbridge(start: Start, object_store: ObjectStore, tmp_path: Path) -> None:
    bucket = object_store.make_bucket()
    object_store.client().fput_object(bucket, "in/a+b.txt", __file__)
    environment = {
        "AWS_ENDPOINT_URL_S3": object_store.endpoint,
        "AWS_ACCESS_KEY_ID": object_store.access_key,
        "AWS_SECRET_ACCESS_KEY": object_store.secret_key,
        "AWS_REGION": "us-east-1",
    }
    service = {"output": [{"storage_provider": "s3", "path": f"{bucket}/out"}]}
    function = start(
        'cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/x"', service=service, environment=environment
    )
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-01-01T00:00:00Z",
        "detail": {"bucket": {"name": bucket}, "object": {"key": "in/a+b.txt"}},
    }
    answer = function.invoke(event)
    assert answer.ok, answer.body
    assert object_store.client().stat_object(bucket, "out/x").size > 0


def test_an_event_by_reference(start: Start, object_store: ObjectStore, tmp_path: Path) -> None:
    bucket = object_store.make_bucket()
    (tmp_path / "event.json").write_text(json.dumps({"event": "big", "job_id": "job-9"}))
    object_store.client().fput_object(bucket, "events/9.json", str(tmp_path / "event.json"))
    environment = {
        "AWS_ENDPOINT_URL_S3": object_store.endpoint,
        "AWS_ACCESS_KEY_ID": object_store.access_key,
        "AWS_SECRET_ACCESS_KEY": object_store.secret_key,
    }
    function = start("echo $JOB_UUID", service={"output": []}, environment=environment)
    answer = function.invoke({"event_url": f"s3://{bucket}/events/9.json", "job_id": "job-9"})
    assert answer.ok, answer.body
    assert text_of(answer.value) == "job-9\n"


V1 = {
    "httpMethod": "POST",
    "path": "/launch",
    "queryStringParameters": {"who": "me"},
    "headers": {"content-type": "text/plain"},
    "requestContext": {"requestId": "r-1"},
    "body": base64.b64encode(b"\xff\x00binary").decode(),
    "isBase64Encoded": True,
}
V2 = {
    "version": "2.0",
    "rawPath": "/launch",
    "queryStringParameters": {"who": "me"},
    "requestContext": {"http": {"method": "POST", "path": "/"}, "requestId": "r-2"},
    "body": "plain text, no base64!",
    "isBase64Encoded": False,
}


def test_http_requests(start: Start) -> None:
    function = start('od -An -c < "$INPUT_FILE_PATH" | head -1; echo $CONT_VAR_who')
    first, second = function.invoke(V1), function.invoke(V2)
    assert first.value["statusCode"] == second.value["statusCode"] == 200
    assert text_of(first.value).splitlines()[0].split()[:2] == ["377", "\\0"]
    assert text_of(second.value).splitlines()[0].split()[:2] == ["p", "l"]
    assert text_of(first.value).splitlines()[1] == "me"


def test_a_failure_behind_http_is_an_http_answer(start: Start) -> None:
    function = start("echo why; exit 7", service={"output": []})
    answer = function.invoke(V2)
    assert answer.ok  # for Lambda; the caller sees the status
    assert answer.value["statusCode"] == 500
    assert answer.value["isBase64Encoded"] is False
    body = json.loads(answer.value["body"])
    assert body["error"] == "ScriptError"
    assert "exit status 7" in body["message"]
    broken = V2 | {"body": "{", "isBase64Encoded": True}
    assert function.invoke(broken).value["statusCode"] == 400


def test_a_timeout_behind_http(start: Start) -> None:
    answer = start("sleep 30", service={"output": []}).invoke(V2, timeout=2)
    assert answer.value["statusCode"] == 504


def message(name: str, body: object, group: str = "") -> dict[str, object]:
    return {
        "messageId": name,
        "eventSource": "aws:sqs",
        "body": json.dumps(body),
        "attributes": {"MessageGroupId": group} if group else {},
    }


def test_a_queue_gets_back_only_what_failed(start: Start) -> None:
    function = start('grep -q good "$INPUT_FILE_PATH" && echo done', service={"output": []})
    records = [message("m1", {"x": "good"}), message("m2", {"x": "bad"}), message("m3", "good!")]
    answer = function.invoke({"Records": records})
    assert answer.ok
    assert answer.value == {"batchItemFailures": [{"itemIdentifier": "m2"}]}
    assert "m2 comes again" in function.text()
    assert function.invoke({"Records": records[:1]}).value == {"batchItemFailures": []}


def test_an_event_of_a_message_that_cannot_be_read_fails_alone(start: Start) -> None:
    function = start("true", service={"output": []})
    broken = message("m1", {"Records": [{"eventSource": "aws:s3", "s3": {}}]})
    answer = function.invoke({"Records": [broken, message("m2", {})]})
    assert answer.value == {"batchItemFailures": [{"itemIdentifier": "m1"}]}


def test_nothing_of_a_fifo_group_runs_after_a_failure(start: Start) -> None:
    function = start('grep -q good "$INPUT_FILE_PATH"', service={"output": []})
    records = [
        message("a1", "bad!", "a"),
        message("b1", "good!", "b"),
        message("a2", "good!", "a"),
    ]
    answer = function.invoke({"Records": records})
    assert answer.value == {
        "batchItemFailures": [{"itemIdentifier": "a1"}, {"itemIdentifier": "a2"}]
    }
