"""The dispatcher: functions of one code asset, and what calls them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk.aws_s3_assets import Asset
from constructs import Construct

from cdk.acknowledge import acknowledge
from cdk.alarms import alarm
from cdk.code import architecture, runtime
from cdk.names import Base
from cdk.permissions import Statement
from cdk.queues import Queues
from cdk.roles import make_role

__all__ = ["Dispatcher"]

_RETENTION: Final = 30
_RATE: Final = "rate(5 minutes)"
_LOOK: Final = "rate(1 minute)"
_TOGETHER: Final = 10
_ENDS: Final = ("RUNNING", "SUCCEEDED", "FAILED")
_OURS: Final = {"StringEquals": {"aws:ResourceTag/createdby": "oscar-bridge"}}


@dataclass(frozen=True, slots=True)
class _Kind:
    """One function: the handler in `lambda_runtime.app`, and its time in seconds."""

    name: str
    handler: str
    timeout: int


_KINDS: Final = (
    _Kind("events", "events", 60),
    _Kind("states", "states", 60),
    _Kind("reconcile", "reconcile", 240),
    # API Gateway waits 29 seconds.
    _Kind("api", "app", 30),
)


class Dispatcher(Construct):
    """Four functions with one role: events, states, reconcile and api.

    The first two read their queues, the third runs on a schedule, the last serves HTTP. `variables`
    are more of theirs, `layer` the ARN of a layer with OpenTelemetry, "" for none.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        base: Base,
        queues: Queues,
        code: str,
        assets: str,
        alarms: str = "",
        variables: Mapping[str, str] = MappingProxyType({}),
        layer: str = "",
    ) -> None:
        super().__init__(scope, id)
        self._base = base
        self._code = Asset(self, "Code", path=code)
        self._role = make_role(
            self,
            "Role",
            services=["lambda.amazonaws.com"],
            statements=tuple(_statements(base, assets)),
            description=f"The dispatcher of {base.prefix}: places jobs and follows them",
            why_wide=_WHY_ANY,
        )
        self._layers = [layer] if layer else None
        self._environment = {
            "BRIDGE_PREFIX": base.prefix,
            "BRIDGE_TABLE": base.table,
            "BRIDGE_BUCKET": base.bucket,
            "BRIDGE_STATES_QUEUE": queues.live["states"].ref,
            "BRIDGE_DEAD_QUEUE": queues.dead["events"].ref,
            "BRIDGE_TOKENS": base.tokens,
            **variables,
        }
        self.functions = {kind.name: self._function(kind, alarms) for kind in _KINDS}
        for kind in ("events", "states"):
            self._reads(kind, queues)
        self._on_batch(queues)
        self._on_schedule("Schedule", _RATE, "Look after jobs that nothing was heard of")
        waiting = json.dumps({"look": "waiting"})
        self._on_schedule("Waiting", _LOOK, "Look at jobs that wait for too long", waiting)

    def _function(self, kind: _Kind, alarms: str) -> lambda_.CfnFunction:
        name = self._base.function(kind.name)
        log = logs.CfnLogGroup(
            self,
            f"{kind.name.title()}Log",
            log_group_name=f"/aws/lambda/{name}",
            retention_in_days=_RETENTION,
        )
        function = lambda_.CfnFunction(
            self,
            kind.name.title(),
            function_name=name,
            description=f"OSCAR Bridge dispatcher: {kind.name}",
            runtime=runtime(),
            architectures=[architecture()],
            handler=f"lambda_runtime.app.{kind.handler}",
            role=self._role.attr_arn,
            timeout=kind.timeout,
            memory_size=512,
            layers=self._layers,
            environment=lambda_.CfnFunction.EnvironmentProperty(variables=self._environment),
            code=lambda_.CfnFunction.CodeProperty(
                s3_bucket=self._code.s3_bucket_name, s3_key=self._code.s3_object_key
            ),
        )
        function.add_resource_dependency(log)
        acknowledge(function, {"L1": "The runtime is that of the interpreter that packed the code"})
        alarm(
            self,
            f"{kind.name.title()}Errors",
            metric=("AWS/Lambda", "Errors"),
            of=("FunctionName", name),
            says=f"{name} has failed: jobs wait or are in its dead-letter queue",
            topic=alarms,
        )
        return function

    def _reads(self, kind: str, queues: Queues) -> None:
        lambda_.CfnEventSourceMapping(
            self,
            f"{kind.title()}Source",
            function_name=self.functions[kind].ref,
            event_source_arn=queues.live[kind].attr_arn,
            batch_size=_TOGETHER,
            function_response_types=["ReportBatchItemFailures"],
        )

    def _on_batch(self, queues: Queues) -> None:
        ours = {"prefix": self._base.arn("batch", f"job-queue/{self._base.prefix}-")}
        events.CfnRule(
            self,
            "BatchNews",
            description="News of our Batch jobs",
            event_pattern={
                "source": ["aws.batch"],
                "detail-type": ["Batch Job State Change"],
                "detail": {"status": list(_ENDS), "jobQueue": [ours]},
            },
            targets=[
                events.CfnRule.TargetProperty(id="states", arn=queues.live["states"].attr_arn)
            ],
        )

    def _on_schedule(self, name: str, rate: str, why: str, says: str | None = None) -> None:
        function = self.functions["reconcile"]
        target = events.CfnRule.TargetProperty(id="reconcile", arn=function.attr_arn, input=says)
        rule = events.CfnRule(
            self, name, description=why, schedule_expression=rate, targets=[target]
        )
        lambda_.CfnPermission(
            self,
            f"{name}May",
            action="lambda:InvokeFunction",
            function_name=function.ref,
            principal="events.amazonaws.com",
            source_arn=rule.attr_arn,
        )


_WHY_ANY: Final = (
    "Services come and go without the base: functions and jobs are told by the tag createdby, "
    "objects by their folder; ListJobs and DescribeJobs know no resources"
)


def _statements(base: Base, assets: str) -> Iterator[Statement]:
    logged = [base.arn("logs", f"log-group:/aws/lambda/{base.function(k.name)}:*") for k in _KINDS]
    yield Statement(("logs:CreateLogStream", "logs:PutLogEvents"), tuple(logged))
    yield from _of_storage(base, assets)
    live = tuple(base.arn("sqs", base.queue(kind)) for kind in ("events", "states"))
    read = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility")
    yield Statement(tuple(f"sqs:{action}" for action in read), live)
    sent = tuple(base.arn("sqs", base.queue(kind)) for kind in ("states", "events-dead"))
    yield Statement(("sqs:SendMessage", "sqs:GetQueueUrl"), sent)
    tokens = base.arn("secretsmanager", f"secret:{base.tokens}-??????")
    yield Statement(("secretsmanager:GetSecretValue",), (tokens,))
    services = base.arn("ssm", f"parameter{base.service_parameter('')[:-1]}")
    yield Statement(("ssm:GetParametersByPath", "ssm:GetParameter"), (services, f"{services}/*"))
    yield Statement(("lambda:InvokeFunction",), (base.arn("lambda", "function:*"),), _OURS)
    yield from _of_batch(base)


def _of_storage(base: Base, assets: str) -> Iterator[Statement]:
    table = base.arn("dynamodb", f"table/{base.table}")
    change = ("GetItem", "BatchGetItem", "PutItem", "UpdateItem", "Query")
    yield Statement(tuple(f"dynamodb:{a}" for a in change), (table, f"{table}/index/*"))
    folders = ("reports", "runs", "events", "arrays", "estimates")
    objects = tuple(base.s3_arn(f"{base.bucket}/{folder}/*") for folder in folders)
    yield Statement(("s3:GetObject", "s3:PutObject", "s3:DeleteObject"), objects)
    yield Statement(("s3:ListBucket",), (base.s3_arn(base.bucket),))
    yield Statement(("s3:GetObject",), (base.s3_arn(f"{assets}/*.json"),))


def _of_batch(base: Base) -> Iterator[Statement]:
    queues = (base.arn("batch", f"job-queue/{base.prefix}-*"),)
    yield Statement(("batch:SubmitJob",), queues)
    yield Statement(("batch:SubmitJob",), (base.arn("batch", "job-definition/*"),), _OURS)
    tagged = {"StringEquals": {"aws:RequestTag/createdby": "oscar-bridge"}}
    jobs = (base.arn("batch", "job/*"),)
    yield Statement(("batch:TagResource",), jobs, tagged)
    yield Statement(("batch:CancelJob", "batch:TerminateJob"), jobs, _OURS)
    # Children of arrays have no tags.
    children = (base.arn("batch", "job/*:*"),)
    untagged = {"Null": {"aws:ResourceTag/createdby": "true"}}
    yield Statement(("batch:CancelJob",), children, untagged)
    yield Statement(("batch:ListJobs", "batch:DescribeJobs"), ("*",))
