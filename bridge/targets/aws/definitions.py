"""What a service is on AWS, as values: variables, sizes and container properties.

Pure: whoever makes functions and job definitions (the targets here, CloudFormation templates
elsewhere) takes them from here, so that a service is the same whoever has deployed it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bridge.fdl import AwsOptions, limits
from bridge.fdl.model import ProviderRef, Resources, Service
from bridge.fdl.options import ComputeResources
from bridge.scheduler import fargate_size
from bridge.targets.render import ProviderAccess, used_access

__all__ = [
    "BATCH_ENTRY",
    "LAMBDA_ENTRY",
    "Places",
    "Platform",
    "batch_side",
    "compute_resources",
    "cores",
    "function_variables",
    "job_timeout",
    "job_variables",
    "requirements",
    "secret_name",
    "secret_values",
]

LAMBDA_ENTRY: Final = "/opt/bridge/bin/bridge-lambda"
BATCH_ENTRY: Final = "/opt/bridge/bin/bridge-batch"

Platform = str
"""`EC2` or `FARGATE`."""

_MIB: Final = 1 << 20
_LATE: Final = 30


@dataclass(frozen=True, slots=True)
class Places:
    """Where a service's jobs find and leave things: s3:// URLs, names of a secret and of Batch's.

    "" for what there is not.
    """

    document: str
    reports: str
    claims: str = ""
    secret: str = ""
    queue: str = ""
    definition: str = ""


def function_variables(service: Service, places: Places) -> dict[str, str]:
    """The environment of the service's function."""
    options = service.options
    own = options.function.environment if isinstance(options, AwsOptions) else {}
    found = {**own, **_variables(service, places), "BRIDGE_CLAIMS": places.claims}
    if places.queue:
        found["BRIDGE_BATCH_QUEUE"] = places.queue
        found["BRIDGE_BATCH_DEFINITION"] = places.definition
    return found


def job_variables(service: Service, places: Places) -> dict[str, str]:
    """The environment of the service's job definition; the service is its Batch side."""
    options = service.options
    own = options.batch.environment if isinstance(options, AwsOptions) else {}
    found = {**own, **_variables(service, places)}
    if service.timeout is not None:
        found["BRIDGE_TIMEOUT"] = f"{service.timeout:g}"
    return found


def _variables(service: Service, places: Places) -> dict[str, str]:
    found = {
        **service.variables,
        "BRIDGE_SERVICE_URL": places.document,
        "BRIDGE_REPORT": places.reports,
        "LOG_LEVEL": service.log_level,
    }
    return found | ({"BRIDGE_SECRETS_ID": places.secret} if places.secret else {})


def secret_name(deployment: str, service: str) -> str:
    """What the secret of a service is called in Secrets Manager."""
    return f"{deployment}/{service}"


def secret_values(
    service: Service, access: Mapping[ProviderRef, ProviderAccess]
) -> dict[str, dict[str, str]]:
    """What the secret of a service holds, revealed; empty when it needs none."""
    values = {
        str(ref): {name: secret.reveal() for name, secret in one.secrets.items()}
        for ref, one in used_access(service, access).items()
        if one.secrets
    }
    if service.secrets:
        values["environment"] = {name: s.reveal() for name, s in service.secrets.items()}
    return values


def batch_side(service: Service) -> Service:
    """The service as Batch runs it: a `lambda-batch` service has sizes and a time limit for each.

    Batch's own time limit is none unless the file gives one: long runs are what it is for.
    """
    options = service.options
    if service.execution_mode != "lambda-batch":
        return service
    if not isinstance(options, AwsOptions):
        return replace(service, timeout=None, execution_mode="batch")
    batch = options.batch
    resources = Resources(cpu=batch.vcpus, memory=batch.memory * _MIB, gpu=int(batch.enable_gpu))
    return replace(service, resources=resources, timeout=batch.timeout, execution_mode="batch")


def job_timeout(service: Service) -> int | None:
    """Batch's own limit, never below its minimum: the supervisor keeps the exact one."""
    if service.timeout is None:
        return None
    return max(int(service.timeout) + _LATE, limits()["batch.timeout"].min or 0)


def compute_resources(
    platform: Platform, services: Sequence[Service], usual: ComputeResources | None = None
) -> dict[str, Any]:
    """The environment that all services of a platform share, as the first to describe it says;
    `usual` where none does."""
    options = [s.options.batch for s in services if isinstance(s.options, AwsOptions)]
    wanted = next((o.compute_resources for o in options), usual or ComputeResources())
    compute: dict[str, Any] = {
        "type": platform,
        "maxvCpus": max([wanted.max_v_cpus, *(cores(s) for s in services)]),
        "subnets": list(wanted.subnets),
        "securityGroupIds": list(wanted.security_group_ids),
    }
    if platform == "EC2":
        compute |= {
            "minvCpus": wanted.min_v_cpus,
            "desiredvCpus": wanted.desired_v_cpus,
            "instanceTypes": list(wanted.instance_types),
            "instanceRole": wanted.instance_role or "ecsInstanceRole",
        }
    return compute


def cores(service: Service) -> int:
    """Whole vCPUs of a job on EC2."""
    return math.ceil(service.resources.cpu)


def requirements(service: Service, platform: Platform) -> list[dict[str, str]]:
    """vCPU, memory (MiB) and GPU in Batch's words; on Fargate the smallest size that fits."""
    if platform == "FARGATE":
        size = fargate_size(service.resources)
        vcpus, memory = str(size.vcpu), size.memory
    else:
        vcpus, memory = str(cores(service)), math.ceil(service.resources.memory / _MIB)
    gpu = service.resources.gpu
    return [
        {"type": "VCPU", "value": vcpus},
        {"type": "MEMORY", "value": str(memory)},
        *([{"type": "GPU", "value": str(gpu)}] if gpu else []),
    ]
