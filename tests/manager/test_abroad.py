"""Services of one manager here, on Lambda and on Batch: a real AWS endpoint is behind it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.dispatch.protocol import Forgets
from bridge.errors import NotFoundError
from bridge.fdl.model import Service, TargetSpec
from bridge.local._cloud import account_settings
from bridge.local.aws import AwsEndpoint
from bridge.targets import JobState
from bridge.targets.aws import Account, aws_target
from tests.command import ROOT
from tests.waiting import eventually

from .conftest import Live, echo, minio, serve

SHOUT = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsEndpoint]:
    with AwsEndpoint(tmp_path_factory.mktemp("aws") / "endpoint") as one:
        yield one


def account_at(endpoint: AwsEndpoint) -> Account:
    return Account(account_settings(endpoint, "abroad", "abroad-"))


@pytest.fixture(scope="module", autouse=True)
def asked() -> Iterator[set[str]]:
    """What all accounts are asked for, as IAM calls it."""
    found: set[str] = set()
    make = Account._make_client

    def noted(self: Account, service: str, **settings: Any) -> Any:
        client = make(self, service, **settings)
        client.meta.events.register(
            "before-call", lambda model, **_: found.add(action(service, model.name))
        )
        return client

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Account, "_make_client", noted)
        yield found


# IAM has names of its own for these, and batches of calls are those calls.
ACTIONS = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}


def action(service: str, operation: str) -> str:
    return ACTIONS.get(f"{service}:{operation}", f"{service}:{operation}")


@pytest.fixture(scope="module")
def live(endpoint: AwsEndpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with ExitStack() as stack:
        yield serve(tmp_path_factory.mktemp("manager"), stack, aws=account_at(endpoint))


def until(gate: Path) -> str:
    return f"while [ ! -e {gate} ]; do sleep 0.1; done\n"


def send(live: Live, bucket: str, keys: list[str], folder: Path) -> None:
    (folder / "up").write_bytes(b"hello")
    for key in keys:
        live.store.upload(bucket, key, folder / "up")


def got(live: Live, bucket: str, key: str, folder: Path) -> bytes:
    live.store.download(bucket, key, folder / "down")
    return (folder / "down").read_bytes()


def state(live: Live, name: str) -> dict[str, Any]:
    found: dict[str, Any] = live.ask("GET", f"/system/services/{name}/deployment").json
    return found


def ready(live: Live, name: str) -> None:
    def all_there() -> bool:
        told = state(live, name)
        assert told["state"] not in ("failed", "degraded"), told
        return all(one["state"] == "ready" for one in told["targets"].values())

    eventually(all_there, known=lambda: state(live, name))


def jobs(live: Live, name: str) -> list[Any]:
    return list(live.manager.parts.jobs.jobs(service=name, limit=1000))


def over(live: Live, name: str, count: int) -> bool:
    found = jobs(live, name)
    return len(found) == count and all(one.state.final for one in found)


def test_a_burst_goes_to_lambda_what_comes_after_it_does_not_and_nothing_runs_twice(
    live: Live, tmp_path: Path
) -> None:
    ran, gate = tmp_path / "ran", tmp_path / "gate"
    name = live.create(
        script=f'basename "$INPUT_FILE_PATH" >> {ran}\n{until(gate)}{SHOUT}',
        input=minio("burst/in"),
        output=minio("burst/out"),
        placement={"targets": ["local", "lambda"], "policy": "deadline", "deadline": "40s"},
    )
    ready(live, name)
    burst = 20
    send(live, "burst", [f"in/{number}" for number in range(burst)], tmp_path)
    eventually(
        lambda: len(jobs(live, name)) == burst and all(job.target for job in jobs(live, name))
    )
    gate.touch()
    eventually(lambda: over(live, name, burst), known=lambda: jobs(live, name))
    found = jobs(live, name)
    assert {(one.state, one.attempt) for one in found} == {(JobState.SUCCEEDED, 1)}, found
    assert sorted(ran.read_text().split()) == sorted(map(str, range(burst)))
    for number in range(burst):
        assert got(live, "burst", f"out/{number}", tmp_path) == b"HELLO"
    # The slots of this machine are full: in time they would not be done there.
    placed = Counter(one.target for one in found)
    assert placed["local"] >= 4, placed
    assert placed["lambda"] >= 4, placed
    away = next(one.id for one in found if one.target == "lambda")
    (decision,) = live.ask("GET", f"/api/v1/jobs/{away}").json["decisions"]
    assert decision["reason"].startswith("lambda: cheapest in time of 2 that can run it")
    assert "local would wait" in decision["reason"]
    # Its log is there, and its price.
    assert f"job {away}" in live.ask("GET", f"/system/logs/{name}/{away}").text
    told = live.ask("GET", "/api/v1/targets").json["targets"]
    kinds = {one["target"]: (one["kind"], one["running"], one["coming"]) for one in told}
    assert kinds == {name: (name, 0, 0) for name in ("local", "lambda", "batch")}
    told = live.ask("GET", "/api/v1/cost").json
    assert any(one["target"] == "lambda" for one in told["items"]), told
    send(live, "burst", ["in/after"], tmp_path)
    eventually(lambda: over(live, name, burst + 1))
    assert jobs(live, name)[-1].target == "local"


ANSWERS = """
case "$(cat "$INPUT_FILE_PATH")" in
  fail!) echo sorry; exit 3;;
  slow!) sleep 60;;
  bytes) printf '\\000\\377' > "$TMP_OUTPUT_DIR/two";;
  *) printf 'got %s, %s' "$(cat "$INPUT_FILE_PATH")" "$CONT_VAR_colour";;
esac
"""


@pytest.mark.parametrize("target", ["local", "lambda"])
def test_calls_are_answered_alike_wherever_the_service_is(live: Live, target: str) -> None:
    name = live.create(script=ANSWERS, timeout=2, placement={"targets": [target]})
    if target == "lambda":
        ready(live, name)
    for body, status, said in (
        (b"hello", 200, b"got hello, red"),
        (b"bytes", 200, b"AP8="),
        (b"fail!", 500, b"sorry"),
        (b"slow!", 504, b""),
    ):
        answer = live.ask("POST", f"/run/{name}?colour=red", body)
        assert answer.status == status, answer
        assert said in answer.body if status >= 500 else said == answer.body, answer
    assert jobs(live, name) == []
    large = live.ask("POST", f"/run/{name}", b"x" * (6 << 20))
    assert large.status == (413 if target == "lambda" else 200)
    if target == "lambda":
        assert f"/job/{name}" in large.text
        token = {"Authorization": f"Bearer {live.token_of(name)}"}
        assert live.ask("POST", f"/run/{name}", b"x", token).body.startswith(b"got x")


def test_a_service_is_only_where_it_may_run_and_leaves_when_it_may_not(
    live: Live, endpoint: AwsEndpoint
) -> None:
    account = account_at(endpoint)

    def there() -> tuple[list[str], ...]:
        functions = account.client("lambda").list_functions()["Functions"]
        found = account.client("batch").describe_job_definitions(status="ACTIVE")
        secrets = account.client("secretsmanager").list_secrets()["SecretList"]
        all_names = (
            [one["FunctionName"] for one in functions],
            [one["jobDefinitionName"] for one in found["jobDefinitions"]],
            [one["Name"] for one in secrets],
        )
        return tuple(sorted(one for one in some if name in one) for some in all_names)

    secret = {"environment": {"secrets": {"KEY": "value"}}}
    name = live.create(**secret)
    assert there() == ([], [], [])
    called, kept = f"abroad-{name}", f"abroad/%s/{name}"
    for targets, wanted in (
        (["aws-lambda"], ([called], [], [kept % "lambda"])),
        (["local", "batch", "lambda"], ([called], [called], [kept % "batch", kept % "lambda"])),
        (["batch"], ([], [called], [kept % "batch"])),
    ):
        # Another image and another variable each time.
        body = echo(name=name, placement={"targets": targets}, image=targets[0], **secret)
        body["environment"]["variables"] = {"FIRST": targets[0]}
        assert live.ask("PUT", "/system/services", body).status == 204
        ready(live, name)
        eventually(lambda: there() == wanted, known=there)  # noqa: B023
        assert live.ask("GET", f"/system/services/{name}").json["placement"]["targets"] == targets
    assert live.ask("DELETE", f"/system/services/{name}").status == 204
    eventually(lambda: there() == ([], [], []), known=there)


def test_what_cannot_be_made_is_said_and_harms_nothing_else(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def image(service: Service) -> Service:
        if service.image == "nowhere":
            raise NotFoundError("image nowhere is not in its registry")
        return service

    monkeypatch.setattr(live.manager.rollouts, "_parts", replace(live.manager.parts, images=image))
    both = live.create(image="nowhere", placement={"targets": ["local", "lambda"]})
    only = live.create(image="nowhere", placement={"targets": ["lambda"]})
    for name, known in ((both, "degraded"), (only, "failed")):
        eventually(lambda: state(live, name)["state"] == known)  # noqa: B023
        assert "lambda: image nowhere is not in its registry" in state(live, name)["reason"]
    assert live.ask("POST", f"/run/{both}", b"x").status == 200
    answer = live.ask("POST", f"/run/{only}", b"x")
    assert answer.status == 503
    assert "retry-after" in answer.headers
    assert live.ask("POST", f"/job/{only}", b"x").status == 201
    # It waits, and goes on when the image is there.
    eventually(lambda: "not on lambda yet" in jobs(live, only)[0].reason)
    body = echo(name=only, image="busybox", placement={"targets": ["lambda"]})
    assert live.ask("PUT", "/system/services", body).status == 204
    eventually(lambda: over(live, only, 1), known=lambda: jobs(live, only))
    assert jobs(live, only)[0].state is JobState.SUCCEEDED
    for name in (both, only):
        assert live.ask("DELETE", f"/system/services/{name}").status == 204


def test_a_manager_that_was_away_hears_how_its_jobs_on_aws_have_ended(
    endpoint: AwsEndpoint, tmp_path: Path
) -> None:
    gate, ran = tmp_path / "gate", tmp_path / "ran"
    script = f"echo x >> {ran}\n{until(gate)}{SHOUT}"
    names = {"lambda": "left", "batch": "right"}
    with ExitStack() as stack:
        live = serve(tmp_path / "kept", stack, aws=account_at(endpoint))
        for target, name in names.items():
            live.create(
                name=name,
                script=script,
                input=minio(f"{name}/in"),
                output=minio(f"{name}/out"),
                placement={"targets": [target]},
            )
            ready(live, name)
            send(live, name, ["in/a"], tmp_path)
        eventually(lambda: ran.exists() and len(ran.read_text()) == 4)
        objects = int(live.store.endpoint.rpartition(":")[2])
    client = account_at(endpoint).client("lambda")
    before = client.get_function(FunctionName="abroad-left")["Configuration"]
    with ExitStack() as stack:
        live = serve(tmp_path / "kept", stack, aws=account_at(endpoint), objects=objects)
        # They are there already, so nothing is made again.
        assert {state(live, name)["state"] for name in names.values()} == {"ready"}
        gate.touch()
        for name in names.values():
            eventually(lambda: over(live, name, 1), known=lambda: jobs(live, name))  # noqa: B023
            (job,) = jobs(live, name)
            assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
            assert got(live, name, "out/a", tmp_path) == b"HELLO"
            assert live.ask("GET", f"/system/logs/{name}/{job.id}").status == 200
        assert ran.read_text() == "x\nx\n"
        after = client.get_function(FunctionName="abroad-left")["Configuration"]
        assert after["LastModified"] == before["LastModified"]


def test_the_end_of_a_job_is_told_until_it_is_recorded(endpoint: AwsEndpoint) -> None:
    """Of several managers that have one queue, not each knows each job."""
    account = Account(account_settings(endpoint, "apart"))
    target = aws_target(TargetSpec("lambda", "lambda"), account, {})
    account.prepare()
    url = account.queue("states")[0]
    message = {
        "requestPayload": {"job_id": "job-1", "attempt": 1},
        "requestContext": {"requestId": "r", "functionArn": "arn:aws:lambda:x:1:function:f"},
        "responseContext": {"functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "it broke"},
    }
    account.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(message))

    def told() -> list[str]:
        return [one.reason for one in target.poll() if one.job == "job-1" and one.state.final]

    assert eventually(told) == ["it broke"]
    assert told() == []
    assert eventually(told) == ["it broke"]
    assert isinstance(target, Forgets)
    target.forget("job-1")
    assert told() == []
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    left = account.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
    assert set(left["Attributes"].values()) == {"0"}


def test_the_policy_in_the_docs_allows_what_a_manager_asks_for_and_little_else(
    asked: set[str],
) -> None:
    """After all others: what they have done is what a manager does."""
    policy = json.loads((ROOT / "docs" / "manager-policy.json").read_text())
    said = [one["Action"] for one in policy["Statement"]]
    allowed = {one for some in said for one in ([some] if isinstance(some, str) else some)}
    # Everybody may ask who he is; the tests themselves look at what is there.
    tests = {"lambda:ListFunctions", "secretsmanager:ListSecrets", "sqs:SendMessage"}
    assert asked - tests - allowed == {"sts:GetCallerIdentity"}
    # Images are not pushed here, and nothing was cancelled; the rest is asked for by AWS itself.
    unused = {one for one in allowed - asked if not one.startswith(("ecr:", "iam:"))}
    assert unused == {
        "batch:CancelJob",
        "batch:ListJobs",
        "batch:TagResource",
        "batch:TerminateJob",
        "lambda:GetAccountSettings",
        "lambda:TagResource",
        "s3:DeleteObject",
    }
