"""How stacks are made, changed and taken away, and what is left of those that fail."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.endpoint import Endpoint, message, name
from tests.contract.stacks import (
    Resources,
    Stack,
    arn,
    image_function,
    kind,
    queue_policy,
    ref,
    template,
    trust,
    zip_function,
)

pytestmark = [pytest.mark.contract("cfn-stacks"), pytest.mark.any_engine]

VERSION = """
import os
def handler(event, context):
    return {"version": %r, "env": os.environ.get("WORD")}
"""


def queue(**properties: Any) -> Resources:
    return kind("SQS::Queue", **properties)


def change(stack: Stack, resources: Resources, type_: str, execute: bool = True) -> dict[str, Any]:
    """A change set as the CDK makes and executes it; what it said."""
    client, number = stack.client, name("change")
    client.create_change_set(
        StackName=stack.name,
        ChangeSetName=number,
        ChangeSetType=type_,
        TemplateBody=template(resources),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )

    def ready() -> dict[str, Any] | None:
        found = client.describe_change_set(StackName=stack.name, ChangeSetName=number)
        return found if found["Status"] in {"CREATE_COMPLETE", "FAILED"} else None

    found = stack.aws.eventually(ready)
    if execute:
        client.execute_change_set(StackName=stack.name, ChangeSetName=number)
    else:
        client.delete_change_set(StackName=stack.name, ChangeSetName=number)
    return found


def changes_of(found: dict[str, Any]) -> set[tuple[str, str, str]]:
    some = [one["ResourceChange"] for one in found["Changes"]]
    return {(one["Action"], one["LogicalResourceId"], one.get("Replacement", "")) for one in some}


def exists(aws: Endpoint, url: str) -> bool:
    try:
        aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    except ClientError:
        return False
    return True


@pytest.mark.parametrize("package", ["image", "zip"])
def test_a_function_changes_with_its_stack(aws: Endpoint, package: str) -> None:
    stack, function = Stack.new(aws), name("function")

    def resources(number: int) -> Resources:
        settings = {
            "FunctionName": function,
            "Environment": {"Variables": {"WORD": f"word {number}"}},
            "Timeout": 10 + number,
        }
        code = VERSION % number
        made = (
            image_function(aws, **settings)
            if package == "image"
            else zip_function(aws, code, **settings)
        )
        return {"Role": trust("lambda"), "Function": made}

    def answer() -> Any:
        found, error = aws.invoke(function, {})
        assert not error, found
        return found["env"]["WORD"] if package == "image" else (found["version"], found["env"])

    stack.create(resources(1))
    assert answer() == ("word 1" if package == "image" else (1, "word 1"))
    stack.update(resources(2))
    assert answer() == ("word 2" if package == "image" else (2, "word 2"))
    config = aws.client("lambda").get_function_configuration(FunctionName=function)
    assert config["Timeout"] == 12
    assert stack.delete() == "DELETE_COMPLETE"
    with pytest.raises(aws.client("lambda").exceptions.ResourceNotFoundException):
        aws.invoke(function, {})


def test_rules_change_and_go_with_their_stack(aws: Endpoint) -> None:
    stack, bucket = Stack.new(aws), name("bucket")

    def resources(*prefixes: str) -> Resources:
        on = {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
        rules = {
            f"Rule{number}": kind(
                "Events::Rule",
                EventPattern={
                    "source": ["aws.s3"],
                    "detail-type": ["Object Created"],
                    "detail": {
                        "bucket": {"name": [bucket]},
                        "object": {"key": [{"prefix": prefix}]},
                    },
                },
                Targets=[{"Id": "Target0", "Arn": arn("Queue")}],
            )
            for number, prefix in enumerate(prefixes)
        }
        return rules | {
            "Queue": queue(),
            "Policy": queue_policy("Queue", "events"),
            "Bucket": kind("S3::Bucket", BucketName=bucket, NotificationConfiguration=on),
        }

    def told(*keys: str) -> set[str]:
        for key in keys:
            aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
        found = aws.messages(out["Queue"], 1)
        for key in keys:
            aws.client("s3").delete_object(Bucket=bucket, Key=key)
        return {one["Body"]["detail"]["object"]["key"] for one in found}

    out = stack.create(resources("one/", "two/"))
    assert told("one/a", "three/a") == {"one/a"}
    assert told("two/a") == {"two/a"}
    stack.update(resources("three/"))
    assert told("one/b", "two/b", "three/b") == {"three/b"}
    assert stack.delete() == "DELETE_COMPLETE"


def test_change_sets_create_change_and_change_nothing(aws: Endpoint) -> None:
    stack = Stack.new(aws)
    first = {"One": queue(VisibilityTimeout=30), "Two": queue(QueueName=name("two"))}
    made = change(stack, first, "CREATE", execute=False)
    assert changes_of(made) == {("Add", "One", ""), ("Add", "Two", "")}
    assert stack.status() == "REVIEW_IN_PROGRESS"
    change(stack, first, "CREATE")
    assert stack.end() == "CREATE_COMPLETE"
    urls = stack.outputs()
    second = {"One": queue(VisibilityTimeout=40), "Two": queue(QueueName=name("two"))}
    second |= {"Three": queue()}
    told = change(stack, second, "UPDATE", execute=False)
    assert changes_of(told) == {
        ("Modify", "One", "False"),
        ("Modify", "Two", "True"),
        ("Add", "Three", ""),
    }
    assert stack.outputs() == urls
    change(stack, second, "UPDATE")
    assert stack.end() == "UPDATE_COMPLETE"
    assert stack.outputs()["One"] == urls["One"]
    attributes = aws.client("sqs").get_queue_attributes(
        QueueUrl=urls["One"], AttributeNames=["VisibilityTimeout"]
    )
    assert attributes["Attributes"] == {"VisibilityTimeout": "40"}
    assert not exists(aws, urls["Two"])
    nothing = change(stack, second, "UPDATE", execute=False)
    assert nothing["Status"] == "FAILED"
    assert "didn't contain changes" in nothing["StatusReason"]
    with pytest.raises(ClientError) as refused:
        stack.ask("update", template(second))
    assert message(refused.value) == "No updates are to be performed."


def test_a_stack_tells_what_it_is(aws: Endpoint) -> None:
    stack = Stack.new(aws)
    out = stack.create({"Queue": queue(), "Group": kind("Logs::LogGroup")}, Tags=[tag("a", "b")])
    client = stack.client
    found = client.get_template(StackName=stack.name)["TemplateBody"]
    parsed = found if isinstance(found, dict) else json.loads(found)
    assert set(parsed["Resources"]) == {"Queue", "Group"}
    some = client.describe_stack_resources(StackName=stack.name)["StackResources"]
    assert {(one["LogicalResourceId"], one["ResourceStatus"]) for one in some} == {
        ("Queue", "CREATE_COMPLETE"),
        ("Group", "CREATE_COMPLETE"),
    }
    assert out["Queue"] in [one["PhysicalResourceId"] for one in some]
    listed = client.list_stack_resources(StackName=stack.name)["StackResourceSummaries"]
    assert len(listed) == 2
    events = client.describe_stack_events(StackName=stack.name)["StackEvents"]
    assert (events[0]["ResourceStatus"], events[0]["LogicalResourceId"]) == (
        "CREATE_COMPLETE",
        stack.name,
    )
    assert events[-1]["ResourceStatus"] == "CREATE_IN_PROGRESS"
    assert stack.found()["Tags"] == [tag("a", "b")]
    tags = aws.client("sqs").list_queue_tags(QueueUrl=out["Queue"])["Tags"]
    assert tags["a"] == "b"


def tag(key: str, value: str) -> dict[str, str]:
    return {"Key": key, "Value": value}


def broken(aws: Endpoint) -> Resources:
    """A mapping from a queue to a function that is not there."""
    return kind(
        "Lambda::EventSourceMapping",
        EventSourceArn=arn("Queue"),
        FunctionName=name("nobody"),
    ) | {"DependsOn": ["Queue"], "Shown": False}


def test_a_stack_that_fails_is_rolled_back_and_says_why(aws: Endpoint) -> None:
    stack, queue_name = Stack.new(aws), name("queue")
    resources = {"Queue": queue(QueueName=queue_name), "Broken": broken(aws)}
    assert stack.ask("create", template(resources)) == "ROLLBACK_COMPLETE"
    assert any("unction" in one for one in stack.reasons()), stack.reasons()
    with pytest.raises(ClientError):
        aws.client("sqs").get_queue_url(QueueName=queue_name)
    with pytest.raises(ClientError) as refused:
        stack.ask("update", template({"Queue": queue()}))
    assert "ROLLBACK_COMPLETE" in message(refused.value)
    assert stack.delete() == "DELETE_COMPLETE"


def test_a_change_that_fails_leaves_what_was(aws: Endpoint) -> None:
    stack = Stack.new(aws)
    out = stack.create({"Queue": queue(VisibilityTimeout=31)})
    resources = {"Queue": queue(VisibilityTimeout=32), "Other": queue(), "Broken": broken(aws)}
    assert stack.ask("update", template(resources)) == "UPDATE_ROLLBACK_COMPLETE"
    attributes = aws.client("sqs").get_queue_attributes(
        QueueUrl=out["Queue"], AttributeNames=["VisibilityTimeout"]
    )
    assert attributes["Attributes"] == {"VisibilityTimeout": "31"}
    some = stack.client.describe_stack_resources(StackName=stack.name)["StackResources"]
    assert [one["LogicalResourceId"] for one in some if "DELETE" not in one["ResourceStatus"]] == [
        "Queue"
    ]
    stack.update({"Queue": queue(VisibilityTimeout=33)})
    assert stack.delete() == "DELETE_COMPLETE"


def test_what_is_to_be_retained_is(aws: Endpoint) -> None:
    stack, bucket = Stack.new(aws), name("bucket")
    retained = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    stack.create(
        {
            "Bucket": kind("S3::Bucket", BucketName=bucket) | retained,
            "Queue": queue(),
        }
    )
    aws.client("s3").put_object(Bucket=bucket, Key="a", Body=b"kept")
    assert stack.delete() == "DELETE_COMPLETE"
    assert aws.client("s3").get_object(Bucket=bucket, Key="a")["Body"].read() == b"kept"


@pytest.mark.parametrize("versioned", [False, True])
def test_a_bucket_with_objects_outlives_its_stack(aws: Endpoint, versioned: bool) -> None:
    stack, bucket = Stack.new(aws), name("bucket")
    more = {"VersioningConfiguration": {"Status": "Enabled"}} if versioned else {}
    stack.create({"Bucket": kind("S3::Bucket", BucketName=bucket, **more), "Queue": queue()})
    s3 = aws.client("s3")
    version = s3.put_object(Bucket=bucket, Key="a", Body=b"kept").get("VersionId")
    assert stack.delete() == "DELETE_FAILED"
    assert any("not empty" in one for one in stack.reasons()), stack.reasons()
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"kept"
    s3.delete_object(Bucket=bucket, Key="a", **({"VersionId": version} if version else {}))
    assert stack.delete() == "DELETE_COMPLETE"


def test_a_name_that_is_taken_is_refused_and_not_taken_over(aws: Endpoint) -> None:
    bucket = aws.new_bucket()
    aws.client("s3").put_object(Bucket=bucket, Key="a", Body=b"mine")
    stack = Stack.new(aws)
    status = stack.ask("create", template({"Bucket": kind("S3::Bucket", BucketName=bucket)}))
    assert status == "ROLLBACK_COMPLETE"
    events = stack.client.describe_events(StackName=stack.name)["OperationEvents"]
    assert any("already exists" in one.get("ValidationStatusReason", "") for one in events)
    assert aws.client("s3").get_object(Bucket=bucket, Key="a")["Body"].read() == b"mine"


@pytest.mark.parametrize(
    "resource",
    [
        pytest.param(lambda n: kind("SQS::Queue", QueueName=n), id="queue"),
        pytest.param(
            lambda n: kind("SSM::Parameter", Name=f"/{n}", Type="String", Value="a"), id="parameter"
        ),
        pytest.param(lambda n: kind("Logs::LogGroup", LogGroupName=n), id="log-group"),
        pytest.param(lambda n: trust("lambda") | {}, id="role"),
        pytest.param(
            lambda n: kind("SecretsManager::Secret", Name=n, SecretString="a"), id="secret"
        ),
    ],
)
def test_two_stacks_do_not_share_a_name(aws: Endpoint, resource: Any) -> None:
    taken = name("taken")
    made = resource(taken)
    if made["Type"] == "AWS::IAM::Role":
        made["Properties"]["RoleName"] = taken
    Stack.new(aws).create({"It": made})
    second = Stack.new(aws)
    assert second.ask("create", template({"It": made})) == "ROLLBACK_COMPLETE"
    assert any("exist" in one for one in second.reasons()), second.reasons()


def test_drift_is_told(aws: Endpoint) -> None:
    stack = Stack.new(aws)
    out = stack.create({"Queue": queue(VisibilityTimeout=31), "Same": queue()})
    client = stack.client

    def drift() -> tuple[str, dict[str, str]]:
        number = client.detect_stack_drift(StackName=stack.name)["StackDriftDetectionId"]

        def done() -> dict[str, Any] | None:
            found = client.describe_stack_drift_detection_status(StackDriftDetectionId=number)
            return found if found["DetectionStatus"] != "DETECTION_IN_PROGRESS" else None

        told = aws.eventually(done)
        some = client.describe_stack_resource_drifts(StackName=stack.name)["StackResourceDrifts"]
        return told["StackDriftStatus"], {
            one["LogicalResourceId"]: one["StackResourceDriftStatus"] for one in some
        }

    assert drift()[0] == "IN_SYNC"
    aws.client("sqs").set_queue_attributes(
        QueueUrl=out["Queue"], Attributes={"VisibilityTimeout": "99"}
    )
    status, some = drift()
    assert (status, some["Queue"], some["Same"]) == ("DRIFTED", "MODIFIED", "IN_SYNC")


def test_references_between_stacks_and_to_parameters(aws: Endpoint) -> None:
    first, second = Stack.new(aws), Stack.new(aws)
    export = f"{first.name}-queue"
    parameter = f"/{first.name}/word"
    body = {
        "Resources": {
            "Queue": queue(),
            "Word": kind("SSM::Parameter", Name=parameter, Type="String", Value="from ssm"),
        },
        "Outputs": {"Queue": {"Value": ref("Queue"), "Export": {"Name": export}}},
    }
    assert first.ask("create", json.dumps(body)) == "CREATE_COMPLETE"
    taker = {
        "Parameters": {"Word": {"Type": "AWS::SSM::Parameter::Value<String>"}},
        "Conditions": {"Yes": {"Fn::Equals": [ref("Word"), "from ssm"]}},
        "Resources": {
            "Taken": kind(
                "SSM::Parameter",
                Name=f"/{second.name}/taken",
                Type="String",
                Value={"Fn::ImportValue": export},
            )
            | {"Condition": "Yes"},
        },
    }
    given = [{"ParameterKey": "Word", "ParameterValue": parameter}]
    assert second.ask("create", json.dumps(taker), Parameters=given) == "CREATE_COMPLETE"
    taken = aws.client("ssm").get_parameter(Name=f"/{second.name}/taken")["Parameter"]["Value"]
    assert taken == first.outputs()["Queue"]
    with pytest.raises(ClientError) as refused:
        first.client.delete_stack(StackName=first.name)
        first.aws.eventually(lambda: first.status() == "DELETE_FAILED", 5)
    assert export in message(refused.value)
