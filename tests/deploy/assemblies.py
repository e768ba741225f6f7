"""Assemblies as aws-cdk writes them, made by hand, and the account that they are deployed to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.deploy import Assembly, Pace, read_assembly
from bridge.local.aws import AwsEndpoint
from bridge.targets.aws import Account, AccountSettings

PACE = Pace(first=0.02, last=0.2, patience=60.0)
REGION = "us-east-1"

Resources = Mapping[str, Mapping[str, Any]]


def account_of(endpoint: AwsEndpoint, prefix: str = "oscar-bridge", **settings: Any) -> Account:
    """The endpoint's account, with its keys."""
    env = endpoint.environment()
    given = {
        "aws_access_key_id": env["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"],
    }
    return Account(
        AccountSettings(
            **{
                "name": prefix,
                "region": REGION,
                "endpoint": endpoint.url,
                "credentials": given,
                **settings,
            }
        )
    )


def role() -> dict[str, Any]:
    """A role for functions."""
    trusted = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}
    policy = {"Version": "2012-10-17", "Statement": [{**trusted, "Action": "sts:AssumeRole"}]}
    return {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": policy}}


def function(name: str, asset: tuple[str, str], **properties: Any) -> dict[str, Any]:
    """A zip function of the asset's code."""
    code = {"S3Bucket": asset[0], "S3Key": asset[1]}
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "FunctionName": name,
            "Runtime": "python3.12",
            "Handler": "index.handler",
            "MemorySize": 128,
            "Code": code,
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            **properties,
        },
    }


def definition(name: str, **properties: Any) -> dict[str, Any]:
    """A job definition."""
    sizes = [{"Type": "VCPU", "Value": "1"}, {"Type": "MEMORY", "Value": "512"}]
    return {
        "Type": "AWS::Batch::JobDefinition",
        "Properties": {
            "Type": "container",
            "JobDefinitionName": name,
            "ContainerProperties": {"Image": "busybox", "ResourceRequirements": sizes},
            **properties,
        },
    }


def queue(name: str, **properties: Any) -> dict[str, Any]:
    """An SQS queue."""
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name, **properties}}


def bucket(name: str) -> dict[str, Any]:
    """A bucket that outlives its stack."""
    return {
        "Type": "AWS::S3::Bucket",
        "Properties": {"BucketName": name},
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
    }


def parameter(name: str, value: Any = "{}") -> dict[str, Any]:
    """An SSM parameter."""
    return {
        "Type": "AWS::SSM::Parameter",
        "Properties": {"Name": name, "Type": "String", "Value": value},
    }


@dataclass
class Folder:
    """A cloud assembly on disk, one stack after the other."""

    path: Path
    account: Account
    artifacts: dict[str, Any] = field(default_factory=dict)

    @property
    def assets(self) -> str:
        """The bucket of assets."""
        return f"{self.account.settings.name}-assets-{self.account.id}-{REGION}"

    def code(self, text: str) -> tuple[str, str]:
        """Bucket and key of a function's code; its folder is in the assembly then."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        folder = self.path / f"asset.{digest}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.py").write_text(text)
        return self.assets, f"{digest}.zip"

    def stack(
        self,
        name: str,
        resources: Resources,
        *,
        deployment: str = "",
        after: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
        **sections: Any,
    ) -> Folder:
        """Add a stack, with all code assets that there are."""
        self.path.mkdir(parents=True, exist_ok=True)
        template = {"Resources": {k: dict(v) for k, v in resources.items()}, **sections}
        file = f"{name}.template.json"
        (self.path / file).write_text(json.dumps(template, indent=1))
        (self.path / f"{name}.assets.json").write_text(json.dumps(self._files(file)))
        given = {"createdby": "oscar-bridge", "oscar-bridge:deployment": deployment}
        self.artifacts[f"{name}.assets"] = {
            "type": "cdk:asset-manifest",
            "properties": {"file": f"{name}.assets.json"},
        }
        self.artifacts[name] = {
            "type": "aws:cloudformation:stack",
            "environment": f"aws://{self.account.id}/{REGION}",
            "properties": {
                "templateFile": file,
                "stackName": name,
                "tags": given if tags is None else dict(tags),
            },
            "dependencies": [*after, f"{name}.assets"],
        }
        manifest = {"version": "55.0.0", "artifacts": self.artifacts}
        (self.path / "manifest.json").write_text(json.dumps(manifest))
        return self

    def _files(self, template: str) -> dict[str, Any]:
        def destination(key: str) -> dict[str, Any]:
            bucket = self.assets.replace(self.account.id, "${AWS::AccountId}")
            return {"current": {"bucketName": bucket, "objectKey": key}}

        files: dict[str, Any] = {
            "t": {
                "source": {"path": template, "packaging": "file"},
                "destinations": destination("template.json"),
            }
        }
        for one in sorted(self.path.glob("asset.*")):
            digest = one.name.removeprefix("asset.")
            files[digest] = {
                "source": {"path": one.name, "packaging": "zip"},
                "destinations": destination(f"{digest}.zip"),
            }
        return {"version": "55.0.0", "files": files, "dockerImages": {}}

    def read(self, name: str, **fields: Any) -> Assembly:
        """The assembly as `bridge.deploy` reads it."""
        made = read_assembly(
            self.path,
            name=name,
            base=self.account.settings.name,
            account=self.account.id,
            region=REGION,
        )
        return Assembly(made.name, made.base, made.stacks, own_assets=self.assets, **fields)


@dataclass
class Bench:
    """One deployment called `name` under a prefix of its own, in the shared endpoint."""

    endpoint: AwsEndpoint
    prefix: str
    folder: Path
    name: str = "app"
    _count: int = 0

    def __post_init__(self) -> None:
        self.account = account_of(self.endpoint, self.prefix)
        self.stack_name = f"{self.prefix}-{self.name}"

    def client(self, service: str) -> Any:
        """A client of the account."""
        return self.account.client(service)

    def new(self) -> Folder:
        """An empty assembly."""
        self._count += 1
        return Folder(self.folder / f"assembly-{self._count}", self.account)

    def base(self, folder: Folder, **more: Mapping[str, Any]) -> Folder:
        """Add a base stack: the work bucket and a queue."""
        resources = {
            "Work": bucket(self.account.bucket),
            "Events": queue(f"{self.prefix}-events"),
            **more,
        }
        return folder.stack(self.prefix, resources, deployment=self.prefix)

    def assembly(self, resources: Resources | None = None, **fields: Any) -> Assembly:
        """The base, and one stack of the file with these resources."""
        folder = self.base(self.new())
        sections = fields.pop("sections", {})
        wanted = resources if resources is not None else self.one()
        for code in fields.pop("codes", ()):
            folder.code(code)
        folder.stack(
            self.stack_name, wanted, deployment=self.name, after=(self.prefix,), **sections
        )
        return folder.read(self.name, **fields)

    def one(self, **properties: Any) -> Resources:
        """A queue, a job definition and a parameter of one service."""
        service = f"{self.prefix}-one"
        return {
            "Queue": queue(f"{service}-q", **properties),
            "Job": definition(service),
            "Told": parameter(f"/{self.prefix}/services/{service}"),
        }

    def status(self, stack: str = "") -> str:
        """A stack's status, "" when there is none."""
        cfn = self.client("cloudformation")
        try:
            found = cfn.describe_stacks(StackName=stack or self.stack_name)
        except cfn.exceptions.ClientError:
            return ""
        return str(found["Stacks"][0]["StackStatus"])
