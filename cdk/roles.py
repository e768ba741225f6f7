"""Roles: of the machines, of the agent that starts containers, and of a service's jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk.acknowledge import acknowledge, acknowledge_wildcards
from cdk.names import Base
from cdk.permissions import Statement, policy, trust

__all__ = ["ExecutionRole", "Machine", "make_role"]

_BATCH_LOGS: Final = "log-group:/aws/batch/job:*"
_ECS: Final = "iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"


def make_role(
    scope: Construct,
    id: str,
    *,
    services: Sequence[str],
    statements: Sequence[Statement],
    description: str,
    why_wide: str,
) -> iam.CfnRole:
    """A role that services of AWS may take, with one policy in it.

    `why_wide` is the reason for resources that are not named to their end.
    """
    role = iam.CfnRole(
        scope,
        id,
        assume_role_policy_document=trust(services),
        description=description,
        policies=[
            iam.CfnRole.PolicyProperty(policy_name="jobs", policy_document=policy(statements))
        ],
    )
    acknowledge_wildcards(role, statements, why_wide)
    return role


class ExecutionRole(Construct):
    """What the container agent of Batch needs: it pulls images and writes logs, for no script."""

    def __init__(self, scope: Construct, id: str, *, base: Base) -> None:
        super().__init__(scope, id)
        pull = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
        statements = [
            # This action knows no resources.
            Statement(("ecr:GetAuthorizationToken",), ("*",)),
            Statement(tuple(f"ecr:{one}" for one in pull), (base.arn("ecr", "repository/*"),)),
            Statement(
                ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"),
                (base.arn("logs", _BATCH_LOGS),),
            ),
        ]
        role = make_role(
            self,
            "Role",
            services=["ecs-tasks.amazonaws.com"],
            statements=statements,
            description=f"Starts the containers of {base.prefix}: images and logs",
            why_wide="GetAuthorizationToken knows no resources; services name any repository",
        )
        self.arn = role.attr_arn


class Machine(Construct):
    """The instance profile of EC2 machines: what the ECS agent on them needs."""

    def __init__(self, scope: Construct, id: str, *, base: Base) -> None:
        super().__init__(scope, id)
        ecs = f"arn:{base.partition}:{_ECS}"
        role = iam.CfnRole(
            self,
            "Role",
            assume_role_policy_document=trust(["ec2.amazonaws.com"]),
            description=f"EC2 machines of {base.prefix}",
            managed_policy_arns=[ecs],
        )
        why = "AWS keeps this policy in step with its ECS agent"
        acknowledge(role, {f"IAM4[Policy::{ecs}]": why})
        profile = iam.CfnInstanceProfile(self, "Profile", roles=[role.ref])
        self.arn = profile.attr_arn
