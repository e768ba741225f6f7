"""Stacks: Batch, functions and notifications that work, change and go."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.batch import Batch, container, network, profile
from tests.contract.endpoint import Endpoint, name


def apply(aws: Endpoint, stack: str, resources: dict[str, Any], verb: str = "create") -> Any:
    """Create or update a stack; its outputs, which are the Refs of all resources."""
    client = aws.client("cloudformation")
    template = {
        "Resources": resources,
        "Outputs": {one: {"Value": {"Ref": one}} for one in resources},
    }
    getattr(client, f"{verb}_stack")(StackName=stack, TemplateBody=json.dumps(template))
    client.get_waiter(f"stack_{verb}_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    [found] = client.describe_stacks(StackName=stack)["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}


def delete(aws: Endpoint, stack: str) -> None:
    client = aws.client("cloudformation")
    client.delete_stack(StackName=stack)
    client.get_waiter("stack_delete_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )


def kind(short: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{short}", "Properties": properties}


def upper(value: Any) -> Any:
    """A body of the API → properties of a template."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: upper(inner) for key, inner in value.items()}
    return [upper(one) for one in value] if isinstance(value, list) else value


def batch_resources(aws: Endpoint, script: str) -> dict[str, Any]:
    where = network(aws)
    resources = {
        "Type": "EC2",
        "MinvCpus": 0,
        "MaxvCpus": 4,
        "InstanceTypes": ["optimal"],
        "InstanceRole": profile(aws),
        "Subnets": where["subnets"],
        "SecurityGroupIds": where["securityGroupIds"],
    }
    order = [{"Order": 1, "ComputeEnvironment": {"Ref": "Environment"}}]
    return {
        "Environment": kind(
            "Batch::ComputeEnvironment",
            Type="MANAGED",
            State="ENABLED",
            ServiceRole=aws.role,
            ComputeResources=resources,
        ),
        "Queue": kind(
            "Batch::JobQueue", Priority=1, State="ENABLED", ComputeEnvironmentOrder=order
        ),
        "Definition": kind(
            "Batch::JobDefinition",
            Type="container",
            Parameters={"keepCase": "kept"},
            ContainerProperties=upper(container(aws, script)),
            RetryStrategy={"Attempts": 1},
        ),
    }


@pytest.mark.contract("cfn-batch-update")
def test_a_stack_makes_a_batch_that_runs_changes_and_goes(aws: Endpoint) -> None:
    stack = name("stack")
    out = apply(aws, stack, batch_resources(aws, "echo first Ref::keepCase"))
    batch = Batch(aws, out["Queue"], out["Environment"])
    command = {"command": ["sh", "-c", "echo Ref::keepCase"]}
    job = batch.ended(batch.submit(out["Definition"], containerOverrides=command))
    assert batch.lines(job) == ["kept"]
    new = apply(aws, stack, batch_resources(aws, "echo second"), "update")
    assert new["Definition"] != out["Definition"]
    assert new["Queue"] == out["Queue"]
    assert batch.lines(batch.ended(batch.submit(new["Definition"]))) == ["second"]
    delete(aws, stack)
    client = aws.client("batch")
    assert client.describe_job_queues(jobQueues=[out["Queue"]])["jobQueues"] == []
    found = client.describe_compute_environments(computeEnvironments=[out["Environment"]])
    assert found["computeEnvironments"] == []
    active = client.describe_job_definitions(status="ACTIVE")["jobDefinitions"]
    assert new["Definition"] not in [one["jobDefinitionArn"] for one in active]


@pytest.mark.contract("cfn-function")
def test_a_stack_makes_a_function_that_a_bucket_starts(aws: Endpoint) -> None:
    stack, bucket, function = name("stack"), name("bucket"), name("function")
    resources = {
        "Role": kind(
            "IAM::Role",
            AssumeRolePolicyDocument={
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "lambda.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                ],
            },
        ),
        "Function": kind(
            "Lambda::Function",
            FunctionName=function,
            PackageType="Image",
            Code={"ImageUri": aws.image},
            ImageConfig={"EntryPoint": aws.program, "Command": ["the.handler"]},
            Role={"Fn::GetAtt": ["Role", "Arn"]},
            Environment={"Variables": {"FROM": "a stack"}},
            Timeout=20,
            MemorySize=256,
        ),
        "Permission": kind(
            "Lambda::Permission",
            FunctionName={"Ref": "Function"},
            Action="lambda:InvokeFunction",
            Principal="s3.amazonaws.com",
            SourceArn=f"arn:aws:s3:::{bucket}",
        ),
        "Bucket": kind(
            "S3::Bucket",
            BucketName=bucket,
            NotificationConfiguration={
                "LambdaConfigurations": [
                    {
                        "Event": "s3:ObjectCreated:*",
                        "Function": {"Fn::GetAtt": ["Function", "Arn"]},
                        "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": "in/"}]}},
                    }
                ]
            },
        )
        | {"DependsOn": "Permission"},
    }
    apply(aws, stack, resources)
    assert aws.invoke(function, {})[0]["env"]["FROM"] == "a stack"
    aws.client("s3").put_object(Bucket=bucket, Key="in/from a stack", Body=b"x")
    aws.eventually(lambda: any('"in/from+a+stack"' in one for one in aws.function_lines(function)))
    aws.client("s3").delete_object(Bucket=bucket, Key="in/from a stack")
    delete(aws, stack)
    with pytest.raises(aws.client("lambda").exceptions.ResourceNotFoundException):
        aws.client("lambda").get_function(FunctionName=function)
    names = [one["Name"] for one in aws.client("s3").list_buckets()["Buckets"]]
    assert bucket not in names


@pytest.mark.contract("cfn-function", "s3-overlap")
def test_a_stack_whose_rules_overlap_fails(aws: Endpoint) -> None:
    stack = name("stack")
    _, arn = aws.queue()
    rules = [
        {
            "Event": "s3:ObjectCreated:*",
            "Queue": arn,
            "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": prefix}]}},
        }
        for prefix in ("in/", "in/deep/")
    ]
    resources = {
        "Bucket": kind("S3::Bucket", NotificationConfiguration={"QueueConfigurations": rules})
    }
    client = aws.client("cloudformation")
    client.create_stack(StackName=stack, TemplateBody=json.dumps({"Resources": resources}))

    def failed() -> bool:
        [found] = client.describe_stacks(StackName=stack)["Stacks"]
        return found["StackStatus"] in {"ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED"}

    aws.eventually(failed)
    events = client.describe_stack_events(StackName=stack)["StackEvents"]
    assert any("ambiguously" in one.get("ResourceStatusReason", "") for one in events)
