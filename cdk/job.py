"""A service's Batch job definition."""

from __future__ import annotations

from math import ceil
from typing import Final

from aws_cdk import aws_batch as batch
from constructs import Construct

from bridge.fdl import AwsOptions
from bridge.fdl.model import Service
from bridge.targets.aws.definitions import (
    BATCH_ENTRY,
    Places,
    job_timeout,
    job_variables,
    requirements,
)
from cdk.wanted import Wanted

__all__ = ["ServiceJob"]

_GIB: Final = 1 << 30
# What Fargate gives anyway, and the least that can be asked for beyond it.
_INCLUDED: Final = 20
_LEAST: Final = 21
_ALL_NODES: Final = "0:"


class ServiceJob(Construct):
    """The job definition of a service, called as the service. Batch's own retries are off.

    `execution_role` is for the container agent, `role` for the script. `public` says whether the
    job's subnets give it a public address.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        service: Wanted,
        places: Places,
        role: str,
        execution_role: str,
        public: bool,
    ) -> None:
        super().__init__(scope, id)
        job, kind = service.job, batch.CfnJobDefinition
        assert job is not None
        container = _container(
            job, service.platform, places, role=role, execution_role=execution_role, public=public
        )
        nodes = _nodes(job, container)
        timeout = job_timeout(job)
        self.definition = kind(
            self,
            "Definition",
            job_definition_name=service.name,
            type="multinode" if nodes else "container",
            platform_capabilities=[service.platform],
            container_properties=None if nodes else container,
            node_properties=nodes,
            retry_strategy=kind.RetryStrategyProperty(attempts=1),
            timeout=kind.TimeoutProperty(attempt_duration_seconds=timeout) if timeout else None,
        )


def _container(
    job: Service, platform: str, places: Places, *, role: str, execution_role: str, public: bool
) -> batch.CfnJobDefinition.ContainerPropertiesProperty:
    kind = batch.CfnJobDefinition
    variables = sorted(job_variables(job, places).items())
    fargate = platform == "FARGATE"
    address = "ENABLED" if public else "DISABLED"
    return kind.ContainerPropertiesProperty(
        image=job.image,
        command=[BATCH_ENTRY],
        environment=[kind.EnvironmentProperty(name=name, value=text) for name, text in variables],
        resource_requirements=[
            kind.ResourceRequirementProperty(type=one["type"], value=one["value"])
            for one in requirements(job, platform)
        ],
        job_role_arn=role,
        execution_role_arn=execution_role,
        network_configuration=kind.NetworkConfigurationProperty(assign_public_ip=address)
        if fargate
        else None,
        ephemeral_storage=_storage(job) if fargate else None,
        runtime_platform=kind.RuntimePlatformProperty(
            cpu_architecture="ARM64", operating_system_family="LINUX"
        )
        if fargate and job.arch == "arm64"
        else None,
    )


def _storage(job: Service) -> batch.CfnJobDefinition.EphemeralStorageProperty | None:
    asked = ceil((job.resources.ephemeral_storage or 0) / _GIB)
    if asked <= _INCLUDED:
        return None
    return batch.CfnJobDefinition.EphemeralStorageProperty(size_in_gib=max(asked, _LEAST))


def _nodes(
    job: Service, container: batch.CfnJobDefinition.ContainerPropertiesProperty
) -> batch.CfnJobDefinition.NodePropertiesProperty | None:
    wanted = job.options.batch.multi_node_parallel if isinstance(job.options, AwsOptions) else None
    if wanted is None or not wanted.enabled:
        return None
    nodes = batch.CfnJobDefinition.NodeRangePropertyProperty(
        target_nodes=_ALL_NODES, container=container
    )
    return batch.CfnJobDefinition.NodePropertiesProperty(
        main_node=wanted.main_node_index,
        num_nodes=wanted.number_nodes,
        node_range_properties=[nodes],
    )
