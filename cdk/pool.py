"""A compute environment with its job queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import Fn
from aws_cdk import aws_batch as batch
from constructs import Construct

from cdk.machines import Machines
from cdk.names import Base

__all__ = ["Pool", "Surroundings", "imported"]

_ON_SPOT: Final = "SPOT_CAPACITY_OPTIMIZED"
_ON_DEMAND: Final = "BEST_FIT_PROGRESSIVE"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Subnets, security groups and instance profile that machines get unless they name theirs."""

    subnets: Sequence[str]
    security_groups: Sequence[str]
    instance_profile: str


def imported(base: Base) -> Surroundings:
    """Those of the base stack, from any other stack."""
    return Surroundings(
        Fn.split(",", Fn.import_value(base.export("subnets"))),
        [Fn.import_value(base.export("security-group"))],
        Fn.import_value(base.export("instance-profile")),
    )


class Pool(Construct):
    """Machines and the queue before them, both called `name`. With no job they cost nothing."""

    def __init__(
        self, scope: Construct, id: str, *, name: str, machines: Machines, around: Surroundings
    ) -> None:
        super().__init__(scope, id)
        environment = batch.CfnComputeEnvironment(
            self,
            "Machines",
            compute_environment_name=name,
            type="MANAGED" if machines.managed else "UNMANAGED",
            state=machines.state,
            service_role=machines.service_role or None,
            # With AWS's own service role, most changes are made in place.
            replace_compute_environment=bool(machines.service_role),
            compute_resources=_resources(machines, around) if machines.managed else None,
            unmanagedv_cpus=None if machines.managed else machines.max_cpus,
        )
        queue = batch.CfnJobQueue(
            self,
            "Queue",
            job_queue_name=name,
            priority=1,
            state="ENABLED",
            compute_environment_order=[
                batch.CfnJobQueue.ComputeEnvironmentOrderProperty(
                    compute_environment=environment.attr_compute_environment_arn, order=1
                )
            ],
        )
        self.name = name
        self.queue = queue


def _resources(
    machines: Machines, around: Surroundings
) -> batch.CfnComputeEnvironment.ComputeResourcesProperty:
    subnets = list(machines.subnets or around.subnets)
    groups = list(machines.security_groups or around.security_groups)
    if machines.on_fargate:
        return batch.CfnComputeEnvironment.ComputeResourcesProperty(
            type=machines.type,
            maxv_cpus=machines.max_cpus,
            subnets=subnets,
            security_group_ids=groups,
        )
    return batch.CfnComputeEnvironment.ComputeResourcesProperty(
        type=machines.type,
        allocation_strategy=_ON_SPOT if machines.type == "SPOT" else _ON_DEMAND,
        minv_cpus=machines.min_cpus,
        desiredv_cpus=machines.desired_cpus or None,
        maxv_cpus=machines.max_cpus,
        instance_types=list(machines.instance_types),
        instance_role=machines.instance_role or around.instance_profile,
        subnets=subnets,
        security_group_ids=groups,
        launch_template=_template(machines.launch_template),
        update_to_latest_image_version=True,
    )


def _template(
    name: str,
) -> batch.CfnComputeEnvironment.LaunchTemplateSpecificationProperty | None:
    if not name:
        return None
    return batch.CfnComputeEnvironment.LaunchTemplateSpecificationProperty(
        launch_template_name=name, version="$Latest"
    )
