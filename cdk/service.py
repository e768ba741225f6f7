"""One service on AWS, as one construct."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from aws_cdk import Fn, Tags
from aws_cdk import aws_events as events
from aws_cdk import aws_ssm as ssm
from aws_cdk.aws_s3_assets import Asset
from constructs import Construct

from bridge.fdl import AwsOptions
from cdk.function import ServiceFunction
from cdk.job import ServiceJob
from cdk.names import Base
from cdk.permissions import Statement, hand_over
from cdk.pool import Pool, imported
from cdk.roles import make_role
from cdk.triggers import Trigger
from cdk.wanted import Wanted

__all__ = ["BridgeService", "tag"]

_RETRY_SECONDS: Final = 86_400
_RETRIES: Final = 185
_WHY_ANY: Final = (
    "Keys of jobs and files are not known before they are there: it ends below the service's own "
    "folders; network interfaces, tagged jobs and ListJobs know no better resource"
)


class BridgeService(Construct):
    """Function, job definition, role, rules of events, alarm and parameter of one service.

    `service` comes from `cdk.wanted`, `base` names a base stack, in this app or not. `folder` is
    where the service's document is written for the asset. `queue` is the job queue; "" takes the
    base's or, for a service that describes its machines, makes one. `public` says whether its jobs
    are in public subnets.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        service: Wanted,
        base: Base,
        deployment: str,
        folder: Path,
        queue: str = "",
        public: bool = True,
        alarms: str = "",
    ) -> None:
        super().__init__(scope, id)
        self.service, self.base = service, base
        tag(self, {**service.tags, "createdby": "oscar-bridge"}, deployment)
        Tags.of(self).add("oscar-bridge:service", service.name)
        self.queue = (queue or self._queue()) if service.job is not None else ""
        document = self._document(folder)
        self.document_url = f"s3://{document.s3_bucket_name}/{document.s3_object_key}"
        places = service.places(base, self.document_url, self.queue)
        self.role = self._role(document)
        if service.function:
            ServiceFunction(
                self,
                "Lambda",
                service=service,
                base=base,
                places=places,
                role=self.role,
                alarms=alarms,
            )
        if service.job is not None:
            ServiceJob(
                self,
                "Batch",
                service=service,
                places=places,
                role=self.role,
                execution_role=Fn.import_value(base.export("execution-role")),
                public=public,
            )
        for trigger in service.triggers:
            self._rule(trigger)
        self._tell(deployment)

    def _queue(self) -> str:
        machines = self.service.machines
        if machines is None:
            return self.base.batch_queue(self.service.platform)
        name = f"{self.base.prefix}-{machines.digest(self.node.path)}"
        return Pool(self, "Pool", name=name, machines=machines, around=imported(self.base)).name

    def _document(self, folder: Path) -> Asset:
        path = folder / f"{self.service.name}.json"
        path.write_text(self.service.document, encoding="utf-8")
        return Asset(self, "Document", path=str(path))

    def _role(self, document: Asset) -> str:
        options = self.service.service.options
        if isinstance(options, AwsOptions) and options.iam.role:
            return options.iam.role
        grants = self.service.grants
        key = self.base.s3_arn(f"{document.s3_bucket_name}/{document.s3_object_key}")
        statements = [Statement(("s3:GetObject",), (key,)), *grants.statements]
        if self.service.function and self.service.job is not None:
            statements += hand_over(self.service.service, self.base, self.queue)
        role = make_role(
            self,
            "Role",
            services=grants.services,
            statements=statements,
            description=f"Jobs of {self.service.name}: its files, reports and secret",
            why_wide=_WHY_ANY,
        )
        return str(role.attr_arn)

    def _rule(self, trigger: Trigger) -> None:
        target = events.CfnRule.TargetProperty(
            id="events",
            arn=self.base.arn("sqs", self.base.queue("events")),
            dead_letter_config=events.CfnRule.DeadLetterConfigProperty(
                arn=self.base.arn("sqs", self.base.queue("events-dead"))
            ),
            retry_policy=events.CfnRule.RetryPolicyProperty(
                maximum_event_age_in_seconds=_RETRY_SECONDS, maximum_retry_attempts=_RETRIES
            ),
        )
        events.CfnRule(
            self,
            f"Rule-{trigger.bucket}",
            description=f"New objects of {trigger.bucket} that start {self.service.name}",
            event_pattern=trigger.pattern,
            targets=[target],
        )

    def _tell(self, deployment: str) -> None:
        service = self.service
        value = {
            "service": service.name,
            "deployment": deployment,
            "document": self.document_url,
            "function": service.name if service.function else "",
            "queue": self.queue,
            "definition": service.name if service.job is not None else "",
            "arrays": service.arrays,
            "secret": service.secret,
            "targets": list(service.targets),
        }
        ssm.CfnParameter(
            self,
            "Parameter",
            name=self.base.service_parameter(service.name),
            type="String",
            description=f"Where jobs of {service.name} go",
            value=json.dumps(value),
        )


def tag(construct: Construct, tags: dict[str, str], deployment: str) -> None:
    """Put tags on everything in a construct."""
    for key, value in {**tags, "oscar-bridge:deployment": deployment}.items():
        Tags.of(construct).add(key, value)
