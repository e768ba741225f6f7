"""What only AWS knows about a service. Its public home is `bridge.fdl.options`.

It is a module of its own so that a file without `functions.aws` does not pay for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ContainerOptions:
    """The user's image on Lambda, beyond its name. `timeout_threshold` is kept for the upload."""

    image_file: str = ""
    alpine: bool = False
    create_image: bool = False
    timeout_threshold: int = 10
    extra_payload: str = ""
    init_script: str = ""


@dataclass(frozen=True, slots=True)
class DeploymentOptions:
    """Where a zip package is uploaded, and the sizes in bytes above which it is refused."""

    bucket: str = ""
    max_payload_size: int = 50 * 2**20
    max_s3_payload_size: int = 250 * 2**20


@dataclass(frozen=True, slots=True)
class SupervisorOptions:
    """Upstream's choice of supervisor; ours ships with the deployment, so this is only kept."""

    version: str = "latest"
    layer_name: str = "faas-supervisor"
    license_info: str = "Apache 2.0"


@dataclass(frozen=True, slots=True)
class LambdaOptions:
    """The `lambda` section. `memory` and `ephemeral_storage` in MB, `timeout` in seconds.

    `runtime` is "image" by default: upstream's default is an interpreter that AWS has retired.
    `retries` are those of asynchronous invocations, `reserved_concurrency` None means unreserved.
    `environment` is the function's own; what the script sees is in Service.variables.
    """

    region: str = "us-east-1"
    boto_profile: str = "default"
    memory: int = 512
    timeout: int = 300
    runtime: str = "image"
    architectures: tuple[Literal["x86_64", "arm64"], ...] = ("x86_64",)
    description: str = "Automatically generated lambda function"
    layers: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    init_script: str = ""
    run_script: str = ""
    c_args: tuple[str, ...] = ()
    extra_payload: str = ""
    preheat: bool = False
    invocation_type: Literal["RequestResponse", "Event", "DryRun"] = "RequestResponse"
    asynchronous: bool = False
    log_type: Literal["Tail", "None"] = "Tail"
    vpc: Mapping[str, Any] = field(default_factory=dict)
    file_system: tuple[Mapping[str, Any], ...] = ()
    deployment: DeploymentOptions = field(default_factory=DeploymentOptions)
    container: ContainerOptions = field(default_factory=ContainerOptions)
    supervisor: SupervisorOptions = field(default_factory=SupervisorOptions)
    ephemeral_storage: int | None = None
    reserved_concurrency: int | None = None
    retries: int | None = None


@dataclass(frozen=True, slots=True)
class IamOptions:
    """The execution role that must be used; "" lets the deployment make a least one."""

    boto_profile: str = "default"
    role: str = ""


@dataclass(frozen=True, slots=True)
class ApiGatewayOptions:
    """An HTTP front of the function; made when `name` is given."""

    name: str = ""
    boto_profile: str = "default"
    region: str = ""
    http_method: str = "ANY"
    method: Mapping[str, Any] = field(default_factory=dict)
    integration: Mapping[str, Any] = field(default_factory=dict)
    path_part: str = "{proxy+}"
    stage_name: str = "scar"
    service_id: str = "apigateway.amazonaws.com"
    source_arn_testing: str = ""
    source_arn_invocation: str = ""
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class CloudWatchOptions:
    """How long the logs are kept."""

    boto_profile: str = "default"
    region: str = ""
    log_retention_policy_in_days: int = 30


@dataclass(frozen=True, slots=True)
class S3Options:
    """The client of the buckets, and a template of the events that `run` makes."""

    boto_profile: str = "default"
    region: str = ""
    event: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EcrOptions:
    """Whether removing the function removes its image too."""

    boto_profile: str = "default"
    region: str = ""
    delete_image: bool = True


@dataclass(frozen=True, slots=True)
class MultiNodeParallel:
    """A job that runs on several nodes at once."""

    enabled: bool = False
    number_nodes: int = 10
    main_node_index: int = 0


@dataclass(frozen=True, slots=True)
class ComputeResources:
    """The machines behind a Batch queue.

    `instance_types` is "optimal" by default: upstream's m3.medium is not offered any more.
    """

    type: Literal["EC2", "SPOT", "FARGATE", "FARGATE_SPOT"] = "EC2"
    min_v_cpus: int = 0
    desired_v_cpus: int = 0
    max_v_cpus: int = 2
    instance_types: tuple[str, ...] = ("optimal",)
    subnets: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    instance_role: str = ""
    launch_template_name: str = "faas-supervisor"


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """The `batch` section. `memory` in MiB, `timeout` in seconds per attempt.

    `retries` is the number of attempts (1 means no second one); `array` the size of an array job.
    `environment` goes to the job definition, beside what the script sees anyway.
    """

    boto_profile: str = "default"
    region: str = ""
    vcpus: Decimal = Decimal(1)
    memory: int = 1024
    enable_gpu: bool = False
    state: Literal["ENABLED", "DISABLED"] = "ENABLED"
    type: Literal["MANAGED", "UNMANAGED"] = "MANAGED"
    environment: Mapping[str, str] = field(default_factory=dict)
    service_role: str = ""
    multi_node_parallel: MultiNodeParallel = field(default_factory=MultiNodeParallel)
    compute_resources: ComputeResources = field(default_factory=ComputeResources)
    platform: Literal["EC2", "FARGATE"] = "EC2"
    retries: int | None = None
    timeout: float | None = None
    array: int | None = None


@dataclass(frozen=True, slots=True)
class AwsOptions:
    """The sections of one entry of `functions.aws`."""

    function: LambdaOptions = field(default_factory=LambdaOptions)
    iam: IamOptions = field(default_factory=IamOptions)
    api_gateway: ApiGatewayOptions | None = None
    cloudwatch: CloudWatchOptions = field(default_factory=CloudWatchOptions)
    batch: BatchOptions = field(default_factory=BatchOptions)
    s3: S3Options = field(default_factory=S3Options)
    ecr: EcrOptions = field(default_factory=EcrOptions)
