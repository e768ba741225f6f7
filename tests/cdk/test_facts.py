"""What is there already, read from an account that moto plays."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from bridge.errors import AccessError, UsageError
from bridge.targets.aws import Account, AccountSettings
from cdk import Facts, gather
from tests.cdk.assemblies import settings_of

REGION = "eu-west-1"
_STACK = {
    "Resources": {
        "One": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "in-our-stack"}},
    }
}


@pytest.fixture
def account() -> Iterator[Account]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield Account(
        AccountSettings(
            region=REGION,
            endpoint=f"http://{host}:{port}",
            credentials={"aws_access_key_id": "facts", "aws_secret_access_key": "facts"},
        )
    )
    server.stop()


def make_bucket(account: Account, name: str) -> None:
    where = {"LocationConstraint": REGION}
    account.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=where)


def test_buckets_are_absent_ours_or_of_others(account: Account) -> None:
    make_bucket(account, "of-others")
    account.client("cloudformation").create_stack(
        StackName="oscar-bridge-made-up", TemplateBody=json.dumps(_STACK)
    )
    made = gather(account, settings_of(), ["nowhere", "of-others", "in-our-stack"])
    assert made.buckets == {"in-our-stack": "ours", "nowhere": "absent", "of-others": "foreign"}
    assert (made.account, made.region, made.partition) == ("123456789012", REGION, "aws")
    assert made.kept == ()


def test_the_default_network_is_taken(account: Account) -> None:
    made = gather(account, settings_of(), [])
    subnets = account.client("ec2").describe_subnets()["Subnets"]
    assert made.vpc.startswith("vpc-")
    assert sorted(made.subnets) == sorted(one["SubnetId"] for one in subnets)
    assert made.public


def test_without_a_default_network_one_is_made(account: Account) -> None:
    client = account.client("ec2")
    for subnet in client.describe_subnets()["Subnets"]:
        client.delete_subnet(SubnetId=subnet["SubnetId"])
    for vpc in client.describe_vpcs()["Vpcs"]:
        client.delete_vpc(VpcId=vpc["VpcId"])
    made = gather(account, settings_of(), [])
    assert (made.vpc, made.subnets) == ("", ())


def test_a_private_network_that_is_named(account: Account) -> None:
    client = account.client("ec2")
    vpc = client.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = client.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    client.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": False})
    made = gather(account, settings_of(vpc=vpc), [])
    assert (made.vpc, made.subnets, made.public) == (vpc, (subnet,), False)


def test_the_network_that_the_base_made_stays(account: Account) -> None:
    network = {"Net": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.8.0.0/16"}}}
    account.client("cloudformation").create_stack(
        StackName="oscar-bridge", TemplateBody=json.dumps({"Resources": network})
    )
    assert gather(account, settings_of(), []).vpc == ""


def test_what_an_earlier_base_left_is_kept(account: Account) -> None:
    bucket = f"oscar-bridge-123456789012-{REGION}"
    make_bucket(account, bucket)
    account.client("dynamodb").create_table(
        TableName="oscar-bridge-jobs",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "job", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "job", "AttributeType": "S"}],
    )
    assert gather(account, settings_of(), []).kept == (bucket, "oscar-bridge-jobs")


def test_where_assets_go(account: Account) -> None:
    assert gather(account, settings_of(assets="auto"), []).assets == "own"
    account.client("ssm").put_parameter(
        Name="/cdk-bootstrap/hnb659fds/version", Value="21", Type="String"
    )
    assert gather(account, settings_of(assets="auto"), []).assets == "bootstrap"


def test_without_credentials_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    account = Account(AccountSettings(region=REGION, endpoint="http://127.0.0.1:9"))
    with pytest.raises(AccessError, match="no usable AWS credentials"):
        gather(account, settings_of(), [])


def test_facts_as_text() -> None:
    text = json.dumps({"account": "1", "region": "r", "subnets": ["a"], "vpc": "v"})
    assert Facts.parse(text) == Facts("1", "r", vpc="v", subnets=("a",))
    for bad in ("{", "[]", '{"account": "1"}', '{"account": "1", "region": "r", "x": 1}'):
        with pytest.raises(UsageError, match="the facts cannot be read"):
            Facts.parse(bad)
