"""A service's function: an image with the runtime, its log, its destinations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from bridge.fdl import AwsOptions
from bridge.scheduler import lambda_size
from bridge.targets.aws.definitions import LAMBDA_ENTRY, Places, function_variables
from cdk.acknowledge import acknowledge
from cdk.alarms import alarm
from cdk.api import Proxy
from cdk.names import Base
from cdk.wanted import Wanted

__all__ = ["ServiceFunction"]

_UNSET: Final = AwsOptions()


class ServiceFunction(Construct):
    """The image function of a service, called as the service.

    Its news go to the queue of states, and Lambda's own retries are off: the dispatcher decides.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        service: Wanted,
        base: Base,
        places: Places,
        role: str,
        alarms: str = "",
    ) -> None:
        super().__init__(scope, id)
        given = service.service.options
        options = given if isinstance(given, AwsOptions) else _UNSET
        log = logs.CfnLogGroup(
            self,
            "Log",
            log_group_name=f"/aws/lambda/{service.name}",
            retention_in_days=options.cloudwatch.log_retention_policy_in_days,
        )
        self.function = function = self._make(service, options, places, role)
        function.add_resource_dependency(log)
        states = lambda_.CfnEventInvokeConfig
        destination = base.arn("sqs", base.queue("states"))
        states(
            self,
            "News",
            function_name=function.ref,
            qualifier="$LATEST",
            maximum_retry_attempts=0,
            destination_config=states.DestinationConfigProperty(
                on_success=states.OnSuccessProperty(destination=destination),
                on_failure=states.OnFailureProperty(destination=destination),
            ),
        )
        alarm(
            self,
            "Errors",
            metric=("AWS/Lambda", "Errors"),
            of=("FunctionName", service.name),
            says=f"Jobs of {service.name} have failed on Lambda",
            topic=alarms,
        )
        if options.api_gateway is not None and options.api_gateway.name:
            self._front(options, base)

    def _make(
        self, service: Wanted, options: AwsOptions, places: Places, role: str
    ) -> lambda_.CfnFunction:
        kind, size = lambda_.CfnFunction, lambda_size(service.service)
        described = options.function.description
        if described == _UNSET.function.description:
            described = f"OSCAR Bridge service {service.name}"
        return kind(
            self,
            "Function",
            function_name=service.name,
            description=described,
            package_type="Image",
            code=kind.CodeProperty(image_uri=service.service.image),
            image_config=kind.ImageConfigProperty(entry_point=[LAMBDA_ENTRY]),
            architectures=["arm64" if service.service.arch == "arm64" else "x86_64"],
            role=role,
            memory_size=size.memory,
            timeout=size.timeout,
            ephemeral_storage=kind.EphemeralStorageProperty(size=size.storage),
            reserved_concurrent_executions=options.function.reserved_concurrency,
            environment=kind.EnvironmentProperty(
                variables=function_variables(service.service, places)
            ),
            vpc_config=_vpc(options.function.vpc),
            file_system_configs=[
                kind.FileSystemConfigProperty(
                    arn=str(one.get("Arn", "")), local_mount_path=str(one.get("LocalMountPath", ""))
                )
                for one in options.function.file_system
            ]
            or None,
        )

    def _front(self, options: AwsOptions, base: Base) -> None:
        """SCAR's HTTP front; who may call is asked for unless the file says otherwise."""
        front = options.api_gateway
        assert front is not None
        asked: Mapping[str, Any] = front.method.get("requestParameters") or {}
        proxy = Proxy(
            self,
            "Front",
            base=base,
            name=front.name,
            routes=((front.http_method, f"/{front.path_part.strip('/')}"),),
            function_arn=self.function.attr_arn,
            stage=front.stage_name,
            authorization=str(front.method.get("authorizationType") or "AWS_IAM"),
            parameters={str(name): bool(needed) for name, needed in asked.items()},
        )
        reasons = {"APIG2": "The service's script takes any body"}
        if front.method.get("authorizationType") == "NONE":
            reasons |= dict.fromkeys(("APIG4", "COG4"), "The file says that anybody may call")
        else:
            reasons["COG4"] = "Requests are signed with keys of AWS"
        acknowledge(proxy, reasons)


def _vpc(given: Mapping[str, Any]) -> lambda_.CfnFunction.VpcConfigProperty | None:
    subnets = [str(one) for one in given.get("SubnetIds") or ()]
    if not subnets:
        return None
    groups = [str(one) for one in given.get("SecurityGroupIds") or ()]
    return lambda_.CfnFunction.VpcConfigProperty(subnet_ids=subnets, security_group_ids=groups)
