"""Templates: what is in them, and what must never be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import UsageError
from cdk import Facts
from tests.cdk.assemblies import (
    ACCOUNT,
    FACTS,
    SCAR,
    SECRET,
    Assembly,
    allowed,
    selection_of,
    simple,
    synth,
)

BASE = "oscar-bridge"
FILE = "oscar-bridge-scar"
EXAMPLES = sorted(Path("examples").glob("*/*.yaml"))
AT_HOME = {"cowsay", "split-detect"}


def tags_of(properties: dict[str, Any]) -> dict[str, str]:
    found = properties.get("Tags") or []
    if isinstance(found, dict):
        return found
    return {one["Key"]: one["Value"] for one in found}


def test_a_function_has_what_scars_keys_say(scar: Assembly) -> None:
    made = scar.named(FILE, "AWS::Lambda::Function", "FunctionName", "all-keys")
    assert made["MemorySize"] == 2048
    assert made["Timeout"] == 200
    assert made["EphemeralStorage"] == {"Size": 2048}
    assert made["ReservedConcurrentExecutions"] == 7
    assert made["Description"] == "Looks at pictures"
    assert made["VpcConfig"] == {
        "SubnetIds": ["subnet-00000009"],
        "SecurityGroupIds": ["sg-00000009"],
    }
    assert made["FileSystemConfigs"][0]["LocalMountPath"] == "/mnt/data"
    assert made["PackageType"] == "Image"
    assert made["ImageConfig"] == {"EntryPoint": ["/opt/bridge/bin/bridge-lambda"]}
    variables = made["Environment"]["Variables"]
    assert variables["FUNCTION_ONLY"] == "yes"
    assert variables["WORDS"] == "3"
    assert variables["BRIDGE_SECRETS_ID"] == "oscar-bridge/all-keys"
    assert variables["BRIDGE_BATCH_DEFINITION"] == "all-keys"
    assert "BATCH_ONLY" not in variables
    log = scar.named(FILE, "AWS::Logs::LogGroup", "LogGroupName", "/aws/lambda/all-keys")
    assert log["RetentionInDays"] == 14
    news = scar.resources(FILE, "AWS::Lambda::EventInvokeConfig")[0]["Properties"]
    queue = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:oscar-bridge-states"
    assert news["MaximumRetryAttempts"] == 0
    assert news["DestinationConfig"] == {
        "OnFailure": {"Destination": queue},
        "OnSuccess": {"Destination": queue},
    }


def test_a_job_definition_has_what_scars_keys_say(scar: Assembly) -> None:
    made = scar.one(FILE, "AWS::Batch::JobDefinition")
    assert made["JobDefinitionName"] == "all-keys"
    assert made["Type"] == "multinode"
    assert made["RetryStrategy"] == {"Attempts": 1}
    assert made["Timeout"] == {"AttemptDurationSeconds": 7230}
    nodes = made["NodeProperties"]
    assert (nodes["MainNode"], nodes["NumNodes"]) == (1, 3)
    container = nodes["NodeRangeProperties"][0]["Container"]
    assert container["Command"] == ["/opt/bridge/bin/bridge-batch"]
    assert {one["Type"]: one["Value"] for one in container["ResourceRequirements"]} == {
        "VCPU": "4",
        "MEMORY": "8192",
        "GPU": "1",
    }
    variables = {one["Name"]: one["Value"] for one in container["Environment"]}
    assert variables["BATCH_ONLY"] == "yes"
    assert variables["BRIDGE_TIMEOUT"] == "7200"
    assert "BRIDGE_CLAIMS" not in variables


def test_machines_of_ones_own(scar: Assembly) -> None:
    made = scar.one(FILE, "AWS::Batch::ComputeEnvironment")
    assert made["ServiceRole"] == "arn:aws:iam::111122223333:role/batch"
    machines = made["ComputeResources"]
    assert machines["Type"] == "SPOT"
    assert machines["MaxvCpus"] == 32
    assert machines["DesiredvCpus"] == 2
    assert machines["InstanceTypes"] == ["g5.xlarge"]
    assert machines["Subnets"] == ["subnet-00000007"]
    assert machines["SecurityGroupIds"] == ["sg-00000007"]
    assert machines["LaunchTemplate"]["LaunchTemplateName"] == "mine"
    queue = scar.one(FILE, "AWS::Batch::JobQueue")
    assert queue["JobQueueName"] == made["ComputeEnvironmentName"]
    assert queue["JobQueueName"].startswith("oscar-bridge-")
    told = scar.named(FILE, "AWS::SSM::Parameter", "Name", "/oscar-bridge/services/all-keys")
    assert json.loads(told["Value"])["queue"] == queue["JobQueueName"]


def test_the_parameter_tells_all_and_fits(scar: Assembly) -> None:
    told = scar.named(FILE, "AWS::SSM::Parameter", "Name", "/oscar-bridge/services/given-role")
    value = json.loads(told["Value"])
    document = value.pop("document")
    assert value == {
        "service": "given-role",
        "deployment": "scar",
        "function": "given-role",
        "queue": "",
        "definition": "",
        "arrays": False,
        "secret": "",
        "targets": ["aws-lambda"],
    }
    bucket, _, key = document.removeprefix("s3://").partition("/")
    assert bucket == f"cdk-hnb659fds-assets-{ACCOUNT}-eu-west-1"
    body = json.loads((scar.folder / f"asset.{key}").read_text())
    assert body["service"]["name"] == "given-role"
    for one in scar.resources(FILE, "AWS::SSM::Parameter"):
        assert len(one["Properties"]["Value"]) <= 4096


def test_a_role_that_is_given_is_used_and_none_is_made(scar: Assembly) -> None:
    made = scar.named(FILE, "AWS::Lambda::Function", "FunctionName", "given-role")
    assert made["Role"] == "arn:aws:iam::111122223333:role/given"
    assert len(scar.resources(FILE, "AWS::IAM::Role")) == 1


def test_the_role_may_hand_over_to_exactly_its_queue_and_definition(scar: Assembly) -> None:
    role = scar.one(FILE, "AWS::IAM::Role")
    queue = scar.one(FILE, "AWS::Batch::JobQueue")["JobQueueName"]
    where = f"arn:aws:batch:eu-west-1:{ACCOUNT}"
    assert allowed(role, "batch:SubmitJob") == [
        f"{where}:job-queue/{queue}",
        f"{where}:job-definition/all-keys",
        f"{where}:job-definition/all-keys:*",
    ]
    assert allowed(role, "secretsmanager:GetSecretValue") == [
        f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:oscar-bridge/all-keys-??????"
    ]
    trusted = role["AssumeRolePolicyDocument"]["Statement"]
    assert [one["Principal"]["Service"] for one in trusted] == [
        "lambda.amazonaws.com",
        "ecs-tasks.amazonaws.com",
    ]


def test_no_role_may_do_anything_or_read_everything(scar: Assembly) -> None:
    for stack in scar.templates:
        for role in scar.resources(stack, "AWS::IAM::Role"):
            for policy in role["Properties"].get("Policies", ()):
                for one in policy["PolicyDocument"]["Statement"]:
                    assert not any("*" in action for action in one["Action"])
                    if "*" in one["Resource"]:
                        assert set(one["Action"]) <= {
                            "batch:ListJobs",
                            "batch:DescribeJobs",
                            "ecr:GetAuthorizationToken",
                            "ec2:CreateNetworkInterface",
                            "ec2:DescribeNetworkInterfaces",
                            "ec2:DeleteNetworkInterface",
                        }


def test_a_front_asks_who_is_there(scar: Assembly) -> None:
    method = scar.one(FILE, "AWS::ApiGateway::Method")
    assert (method["HttpMethod"], method["AuthorizationType"]) == ("ANY", "AWS_IAM")
    assert scar.one(FILE, "AWS::ApiGateway::RestApi")["Name"] == "all-keys-api"
    assert scar.one(FILE, "AWS::ApiGateway::Stage")["StageName"] == "scar"


def test_no_secret_is_written_anywhere(scar: Assembly) -> None:
    files = [name for name, text in scar.texts() if SECRET in text]
    assert files == []
    assert sum(1 for _ in scar.texts()) > 100


def test_data_outlives_the_stacks(scar: Assembly) -> None:
    for stack in scar.templates:
        for kind in ("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::DynamoDB::Table"):
            for one in scar.resources(stack, kind):
                assert one["DeletionPolicy"] == "Retain"
                assert one["UpdateReplacePolicy"] == "Retain"
    buckets = [one["Properties"] for one in scar.resources(FILE, "AWS::S3::Bucket")]
    assert [one["BucketName"] for one in buckets] == ["more", "pictures", "results"]
    for one in buckets:
        assert one["NotificationConfiguration"]["EventBridgeConfiguration"] == {
            "EventBridgeEnabled": True
        }
        assert all(one["PublicAccessBlockConfiguration"].values())


def test_everything_that_can_have_tags_has_them(scar: Assembly) -> None:
    for kind in ("AWS::Lambda::Function", "AWS::IAM::Role", "AWS::Batch::JobDefinition"):
        for one in scar.resources(FILE, kind):
            tags = tags_of(one["Properties"])
            assert tags["createdby"] == "oscar-bridge"
            assert tags["oscar-bridge:deployment"] == "scar"
            assert tags["oscar-bridge:service"] in ("all-keys", "given-role")
            assert tags["team"] == "physics"


def test_what_the_base_has(scar: Assembly) -> None:
    functions = scar.resources(BASE, "AWS::Lambda::Function")
    assert {
        one["Properties"]["FunctionName"]: one["Properties"]["Handler"] for one in functions
    } == {
        "oscar-bridge-events": "lambda_runtime.app.events",
        "oscar-bridge-states": "lambda_runtime.app.states",
        "oscar-bridge-reconcile": "lambda_runtime.app.reconcile",
        "oscar-bridge-api": "lambda_runtime.app.app",
    }
    queues = [one["Properties"] for one in scar.resources(BASE, "AWS::SQS::Queue")]
    assert {one["QueueName"] for one in queues} == {
        f"oscar-bridge-{kind}" for kind in ("events", "events-dead", "states", "states-dead")
    }
    for one in queues:
        if not one["QueueName"].endswith("-dead"):
            assert one["RedrivePolicy"]["maxReceiveCount"] == 5
    for one in scar.resources(BASE, "AWS::Lambda::EventSourceMapping"):
        assert one["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    names = [
        one["Properties"]["JobQueueName"] for one in scar.resources(BASE, "AWS::Batch::JobQueue")
    ]
    assert names == ["oscar-bridge-fargate", "oscar-bridge-ec2"]
    assert len(scar.resources(BASE, "AWS::CloudWatch::Alarm")) == 6
    assert not scar.resources(BASE, "AWS::EC2::VPC")
    schedules = {
        one["Properties"]["ScheduleExpression"]: one["Properties"]["Targets"][0].get("Input")
        for one in scar.resources(BASE, "AWS::Events::Rule")
        if "ScheduleExpression" in one["Properties"]
    }
    assert schedules == {"rate(5 minutes)": None, "rate(1 minute)": '{"look": "waiting"}'}
    [role] = [
        one["Properties"]
        for one in scar.resources(BASE, "AWS::IAM::Role")
        if one["Properties"]["Description"].startswith("The dispatcher")
    ]
    jobs = f"arn:aws:batch:eu-west-1:{ACCOUNT}:job/*"
    assert allowed(role, "batch:CancelJob") == [jobs, f"{jobs}:*"]
    arrays = f"arn:aws:s3:::oscar-bridge-{ACCOUNT}-eu-west-1/arrays/*"
    assert arrays in allowed(role, "s3:PutObject") and arrays in allowed(role, "s3:DeleteObject")
    rules = scar.one(BASE, "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    assert {"arrays/", "runs/", "events/", "reports/"} <= {one.get("Prefix") for one in rules}


def test_the_base_is_the_same_whatever_file_it_comes_with(scar: Assembly, tmp_path: Path) -> None:
    other = synth("functions:\n  aws:" + simple("a", "batch"), tmp_path, tags="team=physics")
    assert other.templates[BASE] == scar.templates[BASE]


def test_the_table_is_the_one_that_the_dispatcher_would_make(scar: Assembly) -> None:
    from bridge.dispatch.table import _TABLE  # noqa: PLC0415

    made = scar.one(BASE, "AWS::DynamoDB::Table")

    def ordered(values: list[dict[str, Any]]) -> list[str]:
        return sorted(json.dumps(one, sort_keys=True) for one in values)

    for key in ("KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes"):
        assert ordered(made[key]) == ordered(list(_TABLE[key]))
    assert made["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}


def test_the_api_has_the_routes_of_the_app(scar: Assembly) -> None:
    from cdk.api import ROUTES  # noqa: PLC0415
    from lambda_runtime.app import app  # noqa: PLC0415

    theirs = {(verb, path) for path, verbs in app.routes.items() for verb in verbs}
    assert set(ROUTES) == theirs
    assert len(scar.resources(BASE, "AWS::ApiGateway::Method")) == len(ROUTES)


def test_the_same_input_makes_the_same_templates(scar: Assembly, tmp_path: Path) -> None:
    again = synth(SCAR, tmp_path, name="scar", tags="team=physics")
    assert again.templates == scar.templates
    names = {path.name for path in again.folder.iterdir()}
    assert names == {path.name for path in scar.folder.iterdir()}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_can_be_synthesised(path: Path, tmp_path: Path) -> None:
    if path.stem in AT_HOME:
        with pytest.raises(UsageError, match=r"no service of .* may run on AWS"):
            synth(path, tmp_path, fdl=str(path))
        return
    made = synth(path, tmp_path, fdl=str(path))
    stack = f"oscar-bridge-{path.stem}"
    wanted = {one.service.name for one in selection_of(path).services}
    told = {one["Properties"]["Name"] for one in made.resources(stack, "AWS::SSM::Parameter")}
    assert told == {f"/oscar-bridge/services/{name}" for name in wanted}


def test_buckets_as_the_facts_say(tmp_path: Path) -> None:
    text = "functions:\n  aws:" + "".join(map(simple, ("new", "mine", "theirs")))
    states = {"new-bucket": "absent", "mine-bucket": "ours", "theirs-bucket": "foreign"}
    made = synth(text, tmp_path, replace(FACTS, buckets=states), name="b")  # type: ignore[arg-type]
    names = [
        one["Properties"]["BucketName"]
        for one in made.resources("oscar-bridge-b", "AWS::S3::Bucket")
    ]
    assert names == ["mine-bucket", "new-bucket"]
    merged = made.one("oscar-bridge-b", "Custom::S3BucketNotifications")
    assert merged["BucketName"] == "theirs-bucket"
    assert merged["Managed"] is False
    assert merged["NotificationConfiguration"] == {"EventBridgeConfiguration": {}}
    policy = made.one("oscar-bridge-b", "AWS::IAM::Policy")["PolicyDocument"]["Statement"]
    assert {one["Resource"] for one in policy} == {"arn:aws:s3:::theirs-bucket"}


def test_without_a_vpc_one_is_made_and_what_was_kept_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = "arn:aws:lambda:eu-west-1:901920570463:layer:aws-otel-python-amd64:1"
    monkeypatch.setenv("BRIDGE_POLICY_SHADOW", "fastest")
    monkeypatch.setenv("BRIDGE_OTEL_LAYER", layer)
    kept = (f"oscar-bridge-{ACCOUNT}-eu-west-1", "oscar-bridge-jobs")
    facts = Facts(ACCOUNT, "eu-west-1", kept=kept, assets="own")
    made = synth("functions:\n  aws:" + simple("a"), tmp_path, facts)
    assert len(made.resources(BASE, "AWS::EC2::VPC")) == 1
    assert len(made.resources(BASE, "AWS::EC2::Subnet")) == 2
    assert not made.resources(BASE, "AWS::EC2::NatGateway")
    assert not made.resources(BASE, "AWS::DynamoDB::Table")
    assert not made.resources(BASE, "AWS::S3::Bucket")
    files = json.loads((tmp_path / "oscar-bridge.assets.json").read_text())["files"]
    buckets = {to["bucketName"] for one in files.values() for to in one["destinations"].values()}
    assert buckets == {f"oscar-bridge-assets-{ACCOUNT}-eu-west-1"}
    function = made.resources(BASE, "AWS::Lambda::Function")[0]["Properties"]
    assert function["Code"]["S3Bucket"] == f"oscar-bridge-assets-{ACCOUNT}-eu-west-1"
    assert function["Layers"] == [layer]
    # A policy on trial is the dispatcher's to know.
    assert function["Environment"]["Variables"]["BRIDGE_POLICY_SHADOW"] == "fastest"


def test_many_services_are_spread_over_stacks(tmp_path: Path) -> None:
    text = "functions:\n  aws:" + "".join(simple(f"s{number}") for number in range(61))
    with pytest.raises(UsageError, match="61 services") as refused:
        synth(text, tmp_path / "one")
    assert "-c stacks=2" in refused.value.hint
    made = synth(text, tmp_path / "two", name="many", stacks=2)
    told = [
        {one["Properties"]["Name"] for one in made.resources(stack, "AWS::SSM::Parameter")}
        for stack in ("oscar-bridge-many-1", "oscar-bridge-many-2")
    ]
    assert len(told[0] | told[1]) == 61
    assert not told[0] & told[1]
    assert not made.resources("oscar-bridge-many-2", "AWS::S3::Bucket")
    for template in made.templates.values():
        assert len(template["Resources"]) <= 500
