"""The base of an account and region: all that services share, as one construct."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from aws_cdk import CfnOutput, Fn, Stack
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from cdk.alarms import alarm
from cdk.api import Api
from cdk.dispatcher import Dispatcher
from cdk.facts import Facts
from cdk.machines import shared_machines
from cdk.names import Base
from cdk.network import Network
from cdk.pool import Pool, Surroundings
from cdk.queues import Queues
from cdk.roles import ExecutionRole, Machine
from cdk.storage import JobTable, WorkBucket

__all__ = ["BridgeBase"]


class BridgeBase(Construct):
    """Work bucket, job table, queues, dispatcher, HTTP API, network, Batch queues and alarms.

    `base` names everything; other stacks find it by those names alone, so there is one for a
    prefix in an account and region. `code` is the folder of the dispatcher (`cdk.code.assemble`),
    `assets` the bucket that services' documents are in, `alarms` the ARN of a topic,
    `variables` and `layer` the dispatcher's own.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        base: Base,
        facts: Facts,
        code: str,
        assets: str,
        alarms: str = "",
        variables: Mapping[str, str] = MappingProxyType({}),
        layer: str = "",
    ) -> None:
        super().__init__(scope, id)
        self.base = base
        if base.bucket not in facts.kept:
            WorkBucket(self, "Work", base=base)
        if base.table not in facts.kept:
            JobTable(self, "Jobs", base=base)
        self.queues = Queues(self, "Queues", base=base)
        for kind, queue in self.queues.dead.items():
            alarm(
                self,
                f"{kind.title()}DeadAlarm",
                metric=("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
                of=("QueueName", queue.attr_queue_name),
                says=f"The dead-letter queue of {kind} is not empty",
                topic=alarms,
                statistic="Maximum",
            )
        self.dispatcher = Dispatcher(
            self,
            "Dispatcher",
            base=base,
            queues=self.queues,
            code=code,
            assets=assets,
            alarms=alarms,
            variables=variables,
            layer=layer,
        )
        api = self.dispatcher.functions["api"].attr_arn
        self.api = Api(self, "Api", base=base, function_arn=api)
        self._batch(base, facts)
        self._tell()

    def _batch(self, base: Base, facts: Facts) -> None:
        network = Network(self, "Network", base=base, facts=facts)
        self.execution_role = ExecutionRole(self, "Execution", base=base).arn
        machine = Machine(self, "Machine", base=base)
        around = Surroundings(network.subnets, [network.security_group], machine.arn)
        self.network, self.instance_profile = network, machine.arn
        for platform in ("FARGATE", "EC2"):
            Pool(
                self,
                platform.title(),
                name=base.batch_queue(platform),
                machines=shared_machines(platform),
                around=around,
            )
        for what, value in (
            ("subnets", Fn.join(",", network.subnets)),
            ("security-group", network.security_group),
            ("instance-profile", machine.arn),
            ("execution-role", self.execution_role),
        ):
            CfnOutput(self, what, value=value, export_name=base.export(what))

    def _tell(self) -> None:
        base = self.base
        ssm.CfnParameter(
            self,
            "Parameter",
            name=base.parameter,
            type="String",
            description="What OSCAR Bridge has here",
            value=Stack.of(self).to_json_string(self.parts),
        )
        CfnOutput(self, "api-url", value=self.api.url)

    @property
    def parts(self) -> dict[str, Any]:
        """Names, URLs and ARNs of everything, as the parameter `/<prefix>/base` has them."""
        base, queues = self.base, self.queues
        return {
            "account": base.account,
            "region": base.region,
            "bucket": base.bucket,
            "table": base.table,
            "tokens": base.tokens,
            "api": self.api.url,
            "api_id": self.api.id,
            "events_queue": queues.live["events"].ref,
            "events_dead_queue": queues.dead["events"].ref,
            "states_queue": queues.live["states"].ref,
            "states_dead_queue": queues.dead["states"].ref,
            "functions": {kind: base.function(kind) for kind in self.dispatcher.functions},
            "queues": {one: base.batch_queue(one) for one in ("EC2", "FARGATE")},
            "execution_role": self.execution_role,
            "instance_profile": self.instance_profile,
            "vpc": self.network.vpc,
            "security_group": self.network.security_group,
        }
