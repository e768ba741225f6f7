"""What a stack makes works: by what comes of it, not by what it says."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.contract.endpoint import Endpoint, name
from tests.contract.stacks import (
    Stack,
    arn,
    image_function,
    kind,
    queue_policy,
    ref,
    trust,
    zip_function,
)

pytestmark = [pytest.mark.contract("cfn-stacks"), pytest.mark.any_engine]

# Puts what it gets where the message says, and gives back the messages that say so.
CONSUMER = """
import json, urllib.request

def handler(event, context):
    failed = []
    for record in event["Records"]:
        body = json.loads(record["body"])
        if body.get("fail"):
            failed.append({"itemIdentifier": record["messageId"]})
            continue
        request = urllib.request.Request(
            body["put"], json.dumps(record["attributes"]).encode(), method="PUT")
        urllib.request.urlopen(request).read()
    return {"batchItemFailures": failed}
"""

# A Lambda proxy: what it got, or an answer that is none.
PROXY = """
import json

def handler(event, context):
    if event["path"].endswith("/broken"):
        return "no proxy answer"
    if event["path"].endswith("/raise"):
        raise ValueError("a secret of the function")
    wanted = ("resource", "path", "httpMethod", "pathParameters", "queryStringParameters", "body")
    body = {name: event.get(name) for name in wanted}
    for name, value in event["headers"].items():
        if name.lower() == "authorization":
            body["auth"] = value
    headers = {"X-Seen": event["httpMethod"]}
    return {"statusCode": 201, "headers": headers, "body": json.dumps(body)}
"""


def rule(bucket: str, prefix: str, suffix: str = "") -> dict[str, Any]:
    """New objects of a bucket → the stack's queue, as our own stacks ask for it."""
    keys = [{"wildcard": f"{prefix}*{suffix}"}] if suffix else [{"prefix": prefix}]
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [bucket]}, "object": {"key": keys}},
    }
    return kind(
        "Events::Rule",
        EventPattern=pattern,
        State="ENABLED",
        Targets=[{"Id": "Target0", "Arn": arn("Queue")}],
    )


def eventful(bucket: str, prefix: str = "in/", suffix: str = "") -> dict[str, Any]:
    """A bucket whose new objects come into a queue by way of EventBridge."""
    switched_on = {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    return {
        "Queue": kind("SQS::Queue", VisibilityTimeout=30),
        "Policy": queue_policy("Queue", "events"),
        "Bucket": kind("S3::Bucket", BucketName=bucket, NotificationConfiguration=switched_on),
        "Rule": rule(bucket, prefix, suffix),
    }


def put(aws: Endpoint, bucket: str, *keys: str) -> None:
    for key in keys:
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")


def remove(aws: Endpoint, bucket: str, *keys: str) -> None:
    for key in keys:
        aws.client("s3").delete_object(Bucket=bucket, Key=key)


def keys_of(aws: Endpoint, queue: str, count: int) -> set[str]:
    return {one["Body"]["detail"]["object"]["key"] for one in aws.messages(queue, count)}


@pytest.mark.parametrize("suffix", ["", ".txt"])
def test_new_objects_reach_a_queue_through_a_rule(aws: Endpoint, suffix: str) -> None:
    stack, bucket = Stack.new(aws), name("bucket")
    out = stack.create(eventful(bucket, "in/", suffix))
    put(aws, bucket, "out/no.txt", "in/a.txt", "input/no.txt", "in/deep/b c+d.txt")
    assert keys_of(aws, out["Queue"], 2) == {"in/a.txt", "in/deep/b c+d.txt"}
    if suffix:
        put(aws, bucket, "in/no.png", "in/c.txt")
        assert keys_of(aws, out["Queue"], 1) == {"in/c.txt"}
    assert aws.received(out["Queue"]) == []


def test_two_rules_of_one_object_both_tell(aws: Endpoint) -> None:
    stack, bucket = Stack.new(aws), name("bucket")
    out = stack.create(eventful(bucket) | {"Other": rule(bucket, "in/deep/")})
    put(aws, bucket, "in/deep/a")
    assert [one["Body"]["detail"]["object"]["key"] for one in aws.messages(out["Queue"], 2)] == [
        "in/deep/a",
        "in/deep/a",
    ]


def test_a_function_takes_from_a_queue_and_gives_single_messages_back(aws: Endpoint) -> None:
    stack = Stack.new(aws)
    redrive = {"deadLetterTargetArn": arn("Dead"), "maxReceiveCount": 2}
    out = stack.create(
        {
            "Role": trust("lambda"),
            "Dead": kind("SQS::Queue", MessageRetentionPeriod=1209600),
            "Queue": kind("SQS::Queue", VisibilityTimeout=8, RedrivePolicy=redrive),
            "Function": zip_function(aws, CONSUMER, Timeout=8),
            "Mapping": kind(
                "Lambda::EventSourceMapping",
                EventSourceArn=arn("Queue"),
                FunctionName=ref("Function"),
                BatchSize=10,
                MaximumBatchingWindowInSeconds=1,
                FunctionResponseTypes=["ReportBatchItemFailures"],
            ),
        }
    )
    good = [aws.mark(), aws.mark()]
    bodies = [{"put": good[0].put}, {"fail": True}, {"put": good[1].put}]
    entries = [{"Id": str(i), "MessageBody": json.dumps(one)} for i, one in enumerate(bodies)]
    aws.client("sqs").send_message_batch(QueueUrl=out["Queue"], Entries=entries)
    for mark in good:
        aws.eventually(mark.text)
        assert json.loads(mark.text() or "")["ApproximateReceiveCount"] == "1"
    [dead] = aws.messages(out["Dead"])
    assert dead["Body"] == {"fail": True}
    empty = aws.client("sqs").get_queue_attributes(
        QueueUrl=out["Queue"],
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    assert set(empty.values()) == {"0"}


def test_destinations_of_a_function(aws: Endpoint) -> None:
    stack = Stack.new(aws)
    both = {when: {"Destination": arn("Queue")} for when in ("OnSuccess", "OnFailure")}
    out = stack.create(
        {
            "Role": trust("lambda"),
            "Queue": kind("SQS::Queue"),
            "Function": image_function(aws, EphemeralStorage={"Size": 1024}),
            "Config": kind(
                "Lambda::EventInvokeConfig",
                FunctionName=ref("Function"),
                Qualifier="$LATEST",
                MaximumRetryAttempts=0,
                DestinationConfig=both,
            ),
        }
    )
    for event in ({}, {"fail": "as asked"}):
        aws.client("lambda").invoke(
            FunctionName=out["Function"], InvocationType="Event", Payload=json.dumps(event)
        )
    found = {one["Body"]["requestContext"]["condition"] for one in aws.messages(out["Queue"], 2)}
    assert found == {"Success", "RetriesExhausted"}


def call(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Any:
    """Status, headers and body of a request."""
    asked = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


def rest_api(aws: Endpoint) -> dict[str, Any]:
    """POST /job/{service} and ANY /{proxy+}, as the CDK renders them."""
    uri = {
        "Fn::Join": [
            "",
            [
                "arn:",
                ref("AWS::Partition"),
                ":apigateway:",
                ref("AWS::Region"),
                ":lambda:path/2015-03-31/functions/",
                arn("Function"),
                "/invocations",
            ],
        ]
    }
    proxy = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": uri}

    def method(resource: Any, verb: str) -> dict[str, Any]:
        return kind(
            "ApiGateway::Method",
            RestApiId=ref("Api"),
            ResourceId=resource,
            HttpMethod=verb,
            AuthorizationType="NONE",
            Integration=proxy,
        )

    def part(parent: Any, path: str) -> dict[str, Any]:
        return kind("ApiGateway::Resource", RestApiId=ref("Api"), ParentId=parent, PathPart=path)

    root = {"Fn::GetAtt": ["Api", "RootResourceId"]}
    return {
        "Role": trust("lambda"),
        "Function": zip_function(aws, PROXY),
        "Permission": kind(
            "Lambda::Permission",
            FunctionName=arn("Function"),
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
        ),
        "Api": kind("ApiGateway::RestApi", Name=name("api")),
        "Job": part(root, "job"),
        "Service": part(ref("Job"), "{service}"),
        "Post": method(ref("Service"), "POST"),
        "Proxy": part(root, "{proxy+}"),
        "Any": method(ref("Proxy"), "ANY"),
        "Deployment": kind("ApiGateway::Deployment", RestApiId=ref("Api"))
        | {"DependsOn": ["Post", "Any"]},
        "Stage": kind(
            "ApiGateway::Stage",
            RestApiId=ref("Api"),
            DeploymentId=ref("Deployment"),
            StageName="prod",
        ),
    }


def test_the_routes_of_a_rest_api_answer(aws: Endpoint) -> None:
    out = Stack.new(aws).create(rest_api(aws))
    base = f"{aws.url}/restapis/{out['Api']}/prod/_user_request_"
    status, headers, text = call(
        f"{base}/job/my-service?a=b", "POST", b"raw \xc3\xbc", Authorization="Bearer t"
    )
    answer = json.loads(text)
    assert (status, headers["X-Seen"]) == (201, "POST")
    assert answer["resource"] == "/job/{service}"
    assert answer["path"] == "/job/my-service"
    assert answer["pathParameters"] == {"service": "my-service"}
    assert answer["queryStringParameters"] == {"a": "b"}
    assert answer["body"] == "raw ü"
    assert answer["auth"] == "Bearer t"
    status, _, text = call(f"{base}/some/where")
    assert (status, json.loads(text)["pathParameters"]) == (201, {"proxy": "some/where"})
    status, _, text = call(f"{base}/broken")
    assert (status, json.loads(text)) == (502, {"message": "Internal server error"})
    assert call(f"{aws.url}/restapis/{out['Api']}/other/_user_request_/x")[0] in {403, 404}
    status, _, text = call(f"{base}/raise")
    assert (status, json.loads(text)) == (502, {"message": "Internal server error"})


def test_a_table_with_an_index_and_a_time_to_live(aws: Endpoint) -> None:
    index = {
        "IndexName": "by-service",
        "KeySchema": [
            {"AttributeName": "service", "KeyType": "HASH"},
            {"AttributeName": "accepted", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "ALL"},
    }
    out = Stack.new(aws).create(
        {
            "Table": kind(
                "DynamoDB::Table",
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[
                    {"AttributeName": "job", "AttributeType": "S"},
                    {"AttributeName": "service", "AttributeType": "S"},
                    {"AttributeName": "accepted", "AttributeType": "N"},
                ],
                KeySchema=[{"AttributeName": "job", "KeyType": "HASH"}],
                GlobalSecondaryIndexes=[index],
                TimeToLiveSpecification={"AttributeName": "expires", "Enabled": True},
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
            )
        }
    )
    client = aws.client("dynamodb")
    table = out["Table"]
    for number in range(3):
        item = {
            "job": {"S": f"j{number}"},
            "service": {"S": "a" if number else "b"},
            "accepted": {"N": str(number)},
        }
        client.put_item(TableName=table, Item=item, ConditionExpression="attribute_not_exists(job)")
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        client.put_item(TableName=table, Item=item, ConditionExpression="attribute_not_exists(job)")
    found = client.query(
        TableName=table,
        IndexName="by-service",
        KeyConditionExpression="service = :s",
        ExpressionAttributeValues={":s": {"S": "a"}},
        ScanIndexForward=False,
    )["Items"]
    assert [one["job"]["S"] for one in found] == ["j2", "j1"]
    live = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert (live["TimeToLiveStatus"], live["AttributeName"]) == ("ENABLED", "expires")


@pytest.mark.slow
def test_small_things_have_what_was_asked_for(aws: Endpoint) -> None:
    stack = Stack.new(aws)
    parameter, group, alarm = f"/{stack.name}/base", f"/aws/lambda/{stack.name}", stack.name
    out = stack.create(
        {
            "Queue": kind("SQS::Queue"),
            "Parameter": kind(
                "SSM::Parameter",
                Name=parameter,
                Type="String",
                Value={"Fn::Sub": '{"queue": "${Queue}", "stack": "${AWS::StackName}"}'},
            ),
            "Group": kind("Logs::LogGroup", LogGroupName=group, RetentionInDays=30),
            "Secret": kind(
                "SecretsManager::Secret",
                Name=f"{stack.name}/token",
                GenerateSecretString={
                    "SecretStringTemplate": "{}",
                    "GenerateStringKey": "*",
                    "PasswordLength": 40,
                    "ExcludePunctuation": True,
                },
            ),
            "Alarm": kind(
                "CloudWatch::Alarm",
                AlarmName=alarm,
                Namespace="Contract",
                MetricName="Errors",
                Statistic="Sum",
                Period=60,
                EvaluationPeriods=1,
                Threshold=1,
                ComparisonOperator="GreaterThanOrEqualToThreshold",
                TreatMissingData="notBreaching",
            ),
            "Repository": kind("ECR::Repository", RepositoryName=f"{stack.name}/services"),
        }
    )
    value = aws.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
    assert json.loads(value) == {"queue": out["Queue"], "stack": stack.name}
    pages = aws.client("ssm").get_parameters_by_path(Path=f"/{stack.name}", Recursive=True)
    assert [one["Name"] for one in pages["Parameters"]] == [parameter]
    [found] = aws.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert found["retentionInDays"] == 30
    secret = aws.client("secretsmanager").get_secret_value(SecretId=out["Secret"])
    assert len(json.loads(secret["SecretString"])["*"]) == 40
    client = aws.client("cloudwatch")
    [made] = client.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    assert made["TreatMissingData"] == "notBreaching"
    client.put_metric_data(
        Namespace="Contract",
        MetricData=[{"MetricName": "Errors", "Value": 5, "Timestamp": datetime.now(UTC)}],
    )
    aws.eventually(
        lambda: (
            client.describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]["StateValue"] == "ALARM"
        ),
        150,
    )


def test_a_private_bucket_with_a_lifecycle(aws: Endpoint) -> None:
    bucket = name("bucket")
    deny = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "s3:*",
        "Resource": [arn("Bucket"), {"Fn::Sub": "${Bucket.Arn}/*"}],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    closed = dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    expire = {"Id": "old", "Prefix": "runs/", "Status": "Enabled", "ExpirationInDays": 90}
    encrypted = [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    Stack.new(aws).create(
        {
            "Bucket": kind(
                "S3::Bucket",
                BucketName=bucket,
                PublicAccessBlockConfiguration=closed,
                BucketEncryption={"ServerSideEncryptionConfiguration": encrypted},
                LifecycleConfiguration={"Rules": [expire]},
                VersioningConfiguration={"Status": "Enabled"},
            ),
            "Policy": kind(
                "S3::BucketPolicy",
                Bucket=ref("Bucket"),
                PolicyDocument={"Version": "2012-10-17", "Statement": [deny]},
            ),
        }
    )
    s3 = aws.client("s3")
    [rule] = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rule["Expiration"] == {"Days": 90}
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert policy["Statement"][0]["Resource"][1] == f"arn:aws:s3:::{bucket}/*"
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}


def test_a_network(aws: Endpoint) -> None:
    out = Stack.new(aws).create(
        {
            "Vpc": kind("EC2::VPC", CidrBlock="10.7.0.0/16", EnableDnsSupport=True),
            "Subnet": kind(
                "EC2::Subnet",
                VpcId=ref("Vpc"),
                CidrBlock="10.7.1.0/24",
                AvailabilityZone={"Fn::Select": [0, {"Fn::GetAZs": ""}]},
                MapPublicIpOnLaunch=True,
            ),
            "Gateway": kind("EC2::InternetGateway"),
            "Attachment": kind(
                "EC2::VPCGatewayAttachment", VpcId=ref("Vpc"), InternetGatewayId=ref("Gateway")
            )
            | {"Shown": False},
            "Table": kind("EC2::RouteTable", VpcId=ref("Vpc")),
            "Association": kind(
                "EC2::SubnetRouteTableAssociation",
                RouteTableId=ref("Table"),
                SubnetId=ref("Subnet"),
            ),
            "Route": kind(
                "EC2::Route",
                RouteTableId=ref("Table"),
                DestinationCidrBlock="0.0.0.0/0",
                GatewayId=ref("Gateway"),
            )
            | {"DependsOn": "Attachment", "Shown": False},
            "Group": kind(
                "EC2::SecurityGroup",
                GroupDescription="all out",
                VpcId=ref("Vpc"),
                SecurityGroupEgress=[{"CidrIp": "0.0.0.0/0", "IpProtocol": "-1"}],
            ),
            "Endpoint": kind(
                "EC2::VPCEndpoint",
                VpcId=ref("Vpc"),
                ServiceName={"Fn::Sub": "com.amazonaws.${AWS::Region}.s3"},
                VpcEndpointType="Gateway",
                RouteTableIds=[ref("Table")],
            ),
        },
        outputs={"GroupId": {"Fn::GetAtt": ["Group", "GroupId"]}},
    )
    ec2 = aws.client("ec2")
    [subnet] = ec2.describe_subnets(SubnetIds=[out["Subnet"]])["Subnets"]
    assert (subnet["VpcId"], subnet["CidrBlock"]) == (out["Vpc"], "10.7.1.0/24")
    [group] = ec2.describe_security_groups(GroupIds=[out["GroupId"]])["SecurityGroups"]
    assert group["VpcId"] == out["Vpc"]
    [table] = ec2.describe_route_tables(RouteTableIds=[out["Table"]])["RouteTables"]
    assert out["Gateway"] in [one.get("GatewayId") for one in table["Routes"]]
