"""What services share in an account, and how AWS's errors become ours."""

from __future__ import annotations

import dataclasses
import json

import pytest

from bridge.errors import AccessError, NotFoundError, PermanentError, TargetUnavailable
from bridge.targets.aws import Account, AccountSettings
from bridge.targets.aws.account import translated


def test_preparing_twice_makes_the_shared_things_once(account: Account) -> None:
    account.prepare()
    s3, sqs = account.client("s3"), account.client("sqs")
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == [account.bucket]
    assert len(sqs.list_queues()["QueueUrls"]) == 2


def test_the_work_bucket_names_account_and_region(account: Account) -> None:
    assert account.bucket == f"oscar-bridge-{account.id}-us-east-1"


def test_s3_of_this_account_alone_may_send_events(account: Account) -> None:
    url, arn = account.queue("events")
    found = account.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    (statement,) = json.loads(found["Attributes"]["Policy"])["Statement"]
    assert statement["Resource"] == arn
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": account.id}}


def test_a_service_is_stored_under_a_prefix_of_its_content(account: Account) -> None:
    first = account.put_service({"name": "a"}, "echo 1")
    assert account.put_service({"name": "a"}, "echo 1") == first
    assert account.put_service({"name": "a"}, "echo 2") != first
    key = first.removeprefix(f"s3://{account.bucket}/")
    assert account.get(f"{key}script.sh") == b"echo 1"
    assert json.loads(account.get(f"{key}service.json") or b"") == {"name": "a"}


def test_a_report_that_was_not_written_is_empty(account: Account) -> None:
    assert account.report("job-1") == {}
    account.put("reports/job-1.json", b'{"state": "succeeded"}')
    assert account.report("job-1") == {"state": "succeeded"}


def test_a_bucket_in_another_region_says_where(account: Account) -> None:
    other = Account(dataclasses.replace(account.settings, region="eu-west-1"))
    assert other.ensure_bucket("made-in-ireland") is True
    assert other.ensure_bucket("made-in-ireland") is False
    where = other.client("s3").get_bucket_location(Bucket="made-in-ireland")
    assert where["LocationConstraint"] == "eu-west-1"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("NoSuchBucket", NotFoundError),
        ("ResourceNotFoundException", NotFoundError),
        ("AccessDenied", AccessError),
        ("ExpiredTokenException", AccessError),
        ("ThrottlingException", TargetUnavailable),
        ("TooManyRequestsException", TargetUnavailable),
        ("InvalidParameterValueException", PermanentError),
    ],
)
def test_an_error_of_aws_says_what_was_done_and_whether_to_try_again(
    code: str, kind: type[Exception]
) -> None:
    from botocore.exceptions import ClientError  # noqa: PLC0415

    with pytest.raises(kind, match=rf"make it: because \[{code}\]"), translated("make it"):
        raise ClientError({"Error": {"Code": code, "Message": "because"}}, "Make")


def test_an_endpoint_that_does_not_answer_is_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    settings = AccountSettings(
        endpoint="http://127.0.0.1:9",
        credentials={"aws_access_key_id": "a", "aws_secret_access_key": "very-secret"},
    )
    with pytest.raises(TargetUnavailable) as caught:
        Account(settings).prepare()
    assert "very-secret" not in str(caught.value)


def test_no_credentials_say_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(AccessError) as caught:
        Account(AccountSettings(endpoint="http://127.0.0.1:9")).prepare()
    assert "AWS_PROFILE" in caught.value.hint


def test_the_settings_do_not_show_credentials(account: Account) -> None:
    assert "not-a-secret" not in repr(account.settings)
