"""Stacks as the contract uses them: made, changed and deleted, with what they answer."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

from tests.contract.endpoint import Endpoint, name

Resources = dict[str, Any]

ENDED = ("_COMPLETE", "_FAILED")


def kind(short: str, **properties: Any) -> Resources:
    """One resource of a type without its `AWS::`."""
    return {"Type": f"AWS::{short}", "Properties": properties}


def arn(logical_id: str) -> Resources:
    """The Arn of another resource of the stack."""
    return {"Fn::GetAtt": [logical_id, "Arn"]}


def ref(logical_id: str) -> Resources:
    """The Ref of another resource of the stack."""
    return {"Ref": logical_id}


def template(resources: Resources, outputs: Resources | None = None, **sections: Any) -> str:
    """A template whose outputs are the Refs of all resources, and `outputs`."""
    shown = {one: {"Value": ref(one)} for one in resources if resources[one].get("Shown", True)}
    plain = {one: {k: v for k, v in it.items() if k != "Shown"} for one, it in resources.items()}
    more = {one: {"Value": value} for one, value in (outputs or {}).items()}
    return json.dumps({"Resources": plain, "Outputs": shown | more, **sections})


def upper(value: Any) -> Any:
    """A body of the API → properties of a template."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: upper(inner) for key, inner in value.items()}
    return [upper(one) for one in value] if isinstance(value, list) else value


@dataclass
class Stack:
    """A stack by a name of its own."""

    aws: Endpoint
    name: str

    @classmethod
    def new(cls, aws: Endpoint) -> Stack:
        return cls(aws, name("stack"))

    @property
    def client(self) -> Any:
        return self.aws.client("cloudformation")

    def ask(self, verb: str, body: str, **settings: Any) -> str:
        """Create or update it; the status that it ends in."""
        settings.setdefault("Capabilities", ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"])
        getattr(self.client, f"{verb}_stack")(StackName=self.name, TemplateBody=body, **settings)
        return self.end()

    def create(self, resources: Resources, **settings: Any) -> dict[str, str]:
        """Create it; its outputs."""
        return self._done("create", resources, settings)

    def update(self, resources: Resources, **settings: Any) -> dict[str, str]:
        """Change it; its outputs."""
        return self._done("update", resources, settings)

    def _done(self, verb: str, resources: Resources, settings: Any) -> dict[str, str]:
        body = template(resources, settings.pop("outputs", None), **settings.pop("sections", {}))
        status = self.ask(verb, body, **settings)
        assert status == f"{verb.upper()}_COMPLETE", (status, self.reasons())
        return self.outputs()

    def outputs(self) -> dict[str, str]:
        return {one["OutputKey"]: one["OutputValue"] for one in self.found().get("Outputs", ())}

    def found(self) -> dict[str, Any]:
        return self.client.describe_stacks(StackName=self.name)["Stacks"][0]

    def end(self) -> str:
        """The status once nothing is in progress."""
        return self.aws.eventually(
            lambda: self.status() if not self.status().endswith("_IN_PROGRESS") else None
        )

    def status(self) -> str:
        return str(self.found()["StackStatus"])

    def reasons(self) -> list[str]:
        """What its failures say, the newest first."""
        events = self.client.describe_stack_events(StackName=self.name)["StackEvents"]
        return [
            one.get("ResourceStatusReason", "")
            for one in events
            if one["ResourceStatus"].endswith("_FAILED")
        ]

    def delete(self) -> str:
        """Delete it; the status that it ends in."""
        number = self.found()["StackId"]
        self.client.delete_stack(StackName=self.name)

        def status() -> str | None:
            found = self.client.describe_stacks(StackName=number)["Stacks"][0]["StackStatus"]
            return found if found.endswith(ENDED) else None

        return self.aws.eventually(status)


def trust(*services: str) -> Resources:
    """A role that services may take."""
    who = [f"{one}.amazonaws.com" for one in services]
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": who}}
        ],
    }
    return kind("IAM::Role", AssumeRolePolicyDocument=policy)


def image_function(aws: Endpoint, **settings: Any) -> Resources:
    """A function of the contract's program, with the role `Role`."""
    return kind(
        "Lambda::Function",
        **{
            "PackageType": "Image",
            "Code": {"ImageUri": aws.image},
            "ImageConfig": {"EntryPoint": aws.program, "Command": ["the.handler"]},
            "Role": arn("Role"),
            "Timeout": 20,
            "MemorySize": 256,
            **settings,
        },
    )


def zip_function(aws: Endpoint, program: str, **settings: Any) -> Resources:
    """A function whose code is in S3, as the CDK deploys it, with the role `Role`."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", program)
    key = f"{name('code')}.zip"
    aws.client("s3").put_object(Bucket=aws.bucket, Key=key, Body=packed.getvalue())
    return kind(
        "Lambda::Function",
        **{
            "Code": {"S3Bucket": aws.bucket, "S3Key": key},
            "Handler": "app.handler",
            "Runtime": "python3.12",
            "Role": arn("Role"),
            "Timeout": 20,
            "MemorySize": 256,
            **settings,
        },
    )


def queue_policy(queue: str, service: str) -> Resources:
    """A service may send to a queue of the stack."""
    allowed = {
        "Effect": "Allow",
        "Action": "sqs:SendMessage",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Resource": arn(queue),
    }
    document = {"Version": "2012-10-17", "Statement": [allowed]}
    return kind("SQS::QueuePolicy", Queues=[ref(queue)], PolicyDocument=document)
