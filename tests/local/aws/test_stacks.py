"""What stacks make in the emulator's place, as values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.local.aws._proxy import is_answer
from bridge.local.aws.stacks import Api, mended
from bridge.local.aws.stacks._buckets import encryption, lifecycle, tagging


def test_a_lifecycle_as_s3_takes_it() -> None:
    rules = [
        {"Id": "a", "Prefix": "runs/", "Status": "Enabled", "ExpirationInDays": 90},
        {
            "Status": "Enabled",
            "Prefix": "x/",
            "TagFilters": [{"Key": "k", "Value": "<v>"}],
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
            "Transitions": [{"StorageClass": "GLACIER", "TransitionInDays": 30}],
        },
    ]
    assert lifecycle({"Rules": rules}) == (
        "<LifecycleConfiguration>"
        "<Rule><ID>a</ID><Status>Enabled</Status><Filter><Prefix>runs/</Prefix></Filter>"
        "<Expiration><Days>90</Days></Expiration></Rule>"
        "<Rule><Status>Enabled</Status><Filter><And><Prefix>x/</Prefix>"
        "<Tag><Key>k</Key><Value>&lt;v&gt;</Value></Tag></And></Filter>"
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation>"
        "</AbortIncompleteMultipartUpload>"
        "<Transition><Days>30</Days><StorageClass>GLACIER</StorageClass></Transition></Rule>"
        "</LifecycleConfiguration>"
    )


def test_aws_own_key_is_not_asked_for() -> None:
    def by(**default: str) -> str:
        rule = {"ServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
        return encryption({"ServerSideEncryptionConfiguration": [rule]})

    assert by(SSEAlgorithm="aws:kms") == ""
    assert "<KMSMasterKeyID>k</KMSMasterKeyID>" in by(SSEAlgorithm="aws:kms", KMSMasterKeyID="k")
    assert "<BucketKeyEnabled>true</BucketKeyEnabled>" in by(SSEAlgorithm="AES256")
    assert tagging([]) == "<Tagging><TagSet></TagSet></Tagging>"


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ({"statusCode": 200}, True),
        ({"statusCode": "404", "body": "x", "headers": {"a": "b"}}, True),
        ({"statusCode": 200, "body": {"a": 1}}, False),
        ({"statusCode": 200, "extra": 1}, False),
        ({"body": "x"}, False),
        ({"statusCode": 1000}, False),
        ("text", False),
        (None, False),
    ],
)
def test_what_a_proxy_may_answer(value: Any, good: bool) -> None:
    assert is_answer(value) is good


class Service:
    """Answers every question with what it is told, and keeps the questions."""

    def __init__(self, **refused: str) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self._refused = refused

    def __call__(self, service: str, question: Any) -> tuple[int, dict[str, str], bytes]:
        method, path, _, body, _ = question
        self.asked.append((method, path, json.loads(body or b"null")))
        if text := self._refused.get(path.rpartition("/")[2]):
            return 400, {}, json.dumps({"__type": "Refused", "message": text}).encode()
        return 200, {}, json.dumps({"FunctionArn": "arn:f"}).encode()


def function_type(service: Service) -> dict[str, Any]:
    theirs: dict[str, Any] = {"create": None, "update": None, "delete": None, "import": "theirs"}
    kinds = ("DynamoDB::Table", "ECR::Repository", "Events::Rule", "IAM::Role", "Logs::LogGroup")
    more = ("SQS::Queue", "SecretsManager::Secret", "S3::Bucket", "Lambda::Function")
    every = {f"AWS::{one}": theirs for one in (*kinds, *more, "Lambda::EventSourceMapping")}
    return mended(every, Api(service), lambda kind, name: False)["AWS::Lambda::Function"]


FUNCTION = {
    "FunctionName": "f",
    "Code": {"ImageUri": "i"},
    "Environment": {"Variables": {"N": 1, "YES": True}},
    "Tags": [{"Key": "a", "Value": "b"}],
}


def test_a_function_is_made_over_the_api() -> None:
    service = Service()
    made = function_type(service)
    assert made["import"] == "theirs"
    assert made["create"]("F", FUNCTION | {"ReservedConcurrentExecutions": "2"}, "stack") == (
        "f",
        {"Arn": "arn:f"},
    )
    (method, _, body), (_, path, reserved) = service.asked
    assert method == "POST"
    assert body["Environment"] == {"Variables": {"N": "1", "YES": "true"}}
    assert body["Tags"] == {"a": "b"}
    assert "ReservedConcurrentExecutions" not in body
    assert (path.rpartition("/")[2], reserved) == (
        "concurrency",
        {"ReservedConcurrentExecutions": 2},
    )


def test_a_function_whose_reservation_is_refused_does_not_stay() -> None:
    service = Service(concurrency="too much")
    with pytest.raises(ValueError, match=r"too much \(Refused\)"):
        function_type(service)["create"](
            "F", FUNCTION | {"ReservedConcurrentExecutions": 2}, "stack"
        )
    assert service.asked[-1][0] == "DELETE"


def test_what_a_template_no_longer_says_goes_back_to_its_default() -> None:
    service = Service()
    old = FUNCTION | {"Timeout": 60, "ReservedConcurrentExecutions": 2}
    new = {key: value for key, value in FUNCTION.items() if key not in {"Environment", "Tags"}}
    function_type(service)["update"]("f", old, new, "stack", "F")
    by_path = {(method, path.rpartition("/")[2]): body for method, path, body in service.asked}
    assert by_path["PUT", "configuration"]["Timeout"] == 3
    assert by_path["PUT", "configuration"]["Environment"] == {"Variables": {}}
    assert ("DELETE", "concurrency") in by_path
    assert ("PUT", "code") not in by_path
    assert any(path.startswith("/2017-03-31/tags/") for _, path, _ in service.asked)
