"""What is there already, as one value: read once with boto3, and pure input from then on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from bridge.errors import AccessError, BridgeError, NotFoundError, PermanentError, UsageError
from bridge.targets.aws import Account
from bridge.targets.aws.account import translated
from cdk.names import Base
from cdk.settings import Settings

__all__ = ["BucketState", "Facts", "gather"]

BucketState = Literal["absent", "ours", "foreign", "elsewhere", "taken"]
"""`ours` is in the file's own stack, `foreign` is somebody else's in this account and region,
`elsewhere` in another region, `taken` by another account (or closed to these credentials)."""

_BOOTSTRAP: Final = "/cdk-bootstrap/hnb659fds/version"
_GONE: Final = frozenset({"DELETE_COMPLETE", "DELETE_SKIPPED"})
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Facts:
    """An account and region as far as the stacks depend on it.

    `vpc` and `subnets` are those that jobs run in, "" and none when the base stack makes its own;
    `public` says that those subnets give public addresses. `kept` are the names of the base's
    things that outlived an earlier base stack: they are used, not made again.
    """

    account: str
    region: str
    partition: str = "aws"
    buckets: Mapping[str, BucketState] = field(default_factory=dict)
    vpc: str = ""
    subnets: tuple[str, ...] = ()
    assets: Literal["bootstrap", "own"] = "bootstrap"
    public: bool = True
    kept: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Facts:
        """The facts in a JSON object with the fields' names; UsageError when it is none."""
        try:
            values = json.loads(text)
            lists = {key: tuple(values[key]) for key in ("subnets", "kept") if key in values}
            return cls(**{**values, **lists})
        except (ValueError, TypeError) as error:
            raise UsageError(f"the facts cannot be read: {error}") from error


def gather(account: Account, settings: Settings, buckets: Iterable[str]) -> Facts:
    """Ask AWS what is there; only reads. `buckets` are those that the file names.

    Raises what boto3's errors mean: AccessError, TargetUnavailable, PermanentError.
    """
    with translated("sts:GetCallerIdentity"):
        caller = account.client("sts").get_caller_identity()
    partition = str(caller.get("Arn", "arn:aws:")).split(":")[1] or "aws"
    base = Base(settings.prefix, str(caller["Account"]), account.region, partition)
    shared = _resources(account, settings.prefix)
    own = {pair for name in settings.stack_names for pair in _resources(account, name)}
    names = sorted(set(buckets))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        states = dict(zip(names, pool.map(lambda n: _bucket(account, n, own), names), strict=True))
    made = any(kind == "AWS::EC2::VPC" for kind, _ in shared)
    vpc, subnets, public = ("", (), True) if made else _network(account, settings.vpc)
    return Facts(
        account=base.account,
        region=base.region,
        partition=partition,
        buckets=states,
        vpc=vpc,
        subnets=subnets,
        assets=_assets(account, settings),
        public=public,
        kept=tuple(_kept(account, base, shared)),
    )


def _resources(account: Account, stack: str) -> set[tuple[str, str]]:
    """Type and physical name of everything that a stack holds now; none without the stack."""
    pages = account.client("cloudformation").get_paginator("list_stack_resources")
    found: set[tuple[str, str]] = set()
    try:
        with translated(f"resources of stack {stack}"):
            for page in pages.paginate(StackName=stack):
                found |= {
                    (one["ResourceType"], one.get("PhysicalResourceId", ""))
                    for one in page["StackResourceSummaries"]
                    if one["ResourceStatus"] not in _GONE
                }
    except PermanentError as error:
        if "does not exist" not in error.message:
            raise
    return found


def _bucket(account: Account, name: str, own: set[tuple[str, str]]) -> BucketState:
    if ("AWS::S3::Bucket", name) in own:
        return "ours"
    try:
        with translated(f"bucket {name}"):
            answer = account.client("s3").head_bucket(Bucket=name)
    except NotFoundError:
        return "absent"
    except AccessError:
        return "taken"
    region = answer.get("BucketRegion") or account.region
    return "foreign" if region == account.region else "elsewhere"


def _network(account: Account, wanted: str) -> tuple[str, tuple[str, ...], bool]:
    """The VPC, its subnets, and whether those are public; nothing when there is none to use."""
    client = account.client("ec2")
    if not wanted:
        with translated("default VPC"):
            found = client.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])
        wanted = next((one["VpcId"] for one in found["Vpcs"]), "")
    if not wanted:
        return "", (), True
    with translated(f"subnets of {wanted}"):
        pages = client.get_paginator("describe_subnets").paginate(
            Filters=[{"Name": "vpc-id", "Values": [wanted]}]
        )
        subnets = [one for page in pages for one in page["Subnets"]]
    if not subnets:
        raise PermanentError(f"the VPC {wanted} has no subnets", hint="name another with -c vpc=ID")
    public = _public(subnets)
    chosen = [one["SubnetId"] for one in subnets if one.get("MapPublicIpOnLaunch") or not public]
    return wanted, tuple(sorted(chosen)), public


def _public(subnets: Sequence[Mapping[str, Any]]) -> bool:
    return any(one.get("MapPublicIpOnLaunch") for one in subnets)


def _assets(account: Account, settings: Settings) -> Literal["bootstrap", "own"]:
    if settings.assets != "auto":
        return settings.assets
    client = account.client("ssm")
    try:
        with translated(f"parameter {_BOOTSTRAP}"):
            client.get_parameter(Name=_BOOTSTRAP)
    except BridgeError as error:
        if "ParameterNotFound" in error.message:
            return "own"
        raise
    return "bootstrap"


def _kept(account: Account, base: Base, shared: set[tuple[str, str]]) -> Iterator[str]:
    if ("AWS::S3::Bucket", base.bucket) not in shared and (
        _bucket(account, base.bucket, set()) != "absent"
    ):
        yield base.bucket
    if ("AWS::DynamoDB::Table", base.table) not in shared and _has_table(account, base.table):
        yield base.table


def _has_table(account: Account, name: str) -> bool:
    try:
        with translated(f"table {name}"):
            account.client("dynamodb").describe_table(TableName=name)
    except NotFoundError:
        return False
    return True
