"""What only one platform knows about a service: the typed values in `Service.options`.

A service under `functions.oscar` or `functions.bridge` carries OscarOptions, one under
`functions.aws` carries AwsOptions. Defaults are upstream's unless a comment says why not.
Times are in seconds, sizes in the unit that the field's comment or name gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from bridge.secret import Secret

if TYPE_CHECKING:
    from bridge.fdl.model import StoragePath

__all__ = [
    "ApiGatewayOptions",
    "AwsOptions",
    "BatchOptions",
    "CloudWatchOptions",
    "ComputeResources",
    "ContainerOptions",
    "DeploymentOptions",
    "EcrOptions",
    "Expose",
    "Federation",
    "IamOptions",
    "Kserve",
    "KserveInference",
    "KserveLlmInference",
    "LambdaOptions",
    "MultiNodeParallel",
    "OscarOptions",
    "Replica",
    "S3Options",
    "SupervisorOptions",
    "Synchronous",
    "Volume",
]


@dataclass(frozen=True, slots=True)
class Synchronous:
    """Warm copies that answer synchronous calls; `max_scale` 0 means no bound."""

    min_scale: int = 0
    max_scale: int = 0


@dataclass(frozen=True, slots=True)
class Replica:
    """Another place that may run this service's jobs: a service of a cluster, or a URL."""

    type: Literal["oscar", "endpoint"] = "oscar"
    cluster_id: str = ""
    service_name: str = ""
    url: str = ""
    ssl_verify: bool = True
    priority: int = 0
    headers: Mapping[str, Secret] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Federation:
    """The group of replicas and how a job is delegated to one of them."""

    group_id: str = ""
    topology: Literal["none", "star", "mesh"] = "none"
    delegation: Literal["", "static", "random", "load-based", "topsis"] = ""
    rescheduler_threshold: int = 0
    members: tuple[Replica, ...] = ()


@dataclass(frozen=True, slots=True)
class Expose:
    """A service that is a server of its own.

    The defaults are the documented ones; upstream never applies them and stores zeros, with which
    such a service has no copy at all. No `api_port` means that it is not exposed.
    """

    min_scale: int = 1
    max_scale: int = 10
    api_port: tuple[int, ...] = ()
    cpu_threshold: int = 80
    rewrite_target: bool = False
    node_port: tuple[int, ...] = ()
    default_command: bool = False
    set_auth: bool = False
    auth_type: str = ""
    health_path: str = "/"
    probe_mode: str = ""


@dataclass(frozen=True, slots=True)
class Volume:
    """A managed volume: made with the service when `size` (bytes) is given, else attached."""

    mount_path: str = ""
    name: str = ""
    size: int | None = None
    lifecycle_policy: Literal["delete", "retain"] = "delete"


@dataclass(frozen=True, slots=True)
class KserveInference:
    """Model serving by format."""

    model_format: str = ""
    runtime: str = ""


@dataclass(frozen=True, slots=True)
class KserveLlmInference:
    """Language model serving by runtime image."""

    runtime_image: str = ""


@dataclass(frozen=True, slots=True)
class Kserve:
    """A KServe inference service beside this one. `cpu` in cores, `memory` in bytes."""

    type: str = ""
    storage_uri: str = ""
    inference: KserveInference | None = None
    llm_inference: KserveLlmInference | None = None
    api_version: str = "v1"
    min_scale: int = 0
    max_scale: int = 1
    cpu: Decimal = Decimal("0.2")
    memory: int = 256 * 2**20
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    enable_gpu: bool = False
    set_auth: bool = True


@dataclass(frozen=True, slots=True)
class OscarOptions:
    """What only an OSCAR cluster (or our own Kubernetes target) knows of a service.

    `total_memory` is in bytes and `total_cpu` in cores: caps over all running jobs of the service.
    `cluster_id` is the cluster that the file's position names, "" under `functions.bridge`.
    """

    cluster_id: str = ""
    total_memory: int | None = None
    total_cpu: Decimal | None = None
    enable_sgx: bool = False
    image_prefetch: bool = False
    alpine: bool = False
    synchronous: Synchronous = field(default_factory=Synchronous)
    federation: Federation | None = None
    image_pull_secrets: tuple[str, ...] = ()
    expose: Expose | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    vo: tuple[str, ...] = ()
    interlink_node_name: str = ""
    visibility: Literal["private", "restricted", "public"] = "private"
    allowed_users: tuple[str, ...] = ()
    isolation_level: Literal["SERVICE", "USER"] = "SERVICE"
    mount: StoragePath | None = None
    volume: Volume | None = None
    kserve: Kserve | None = None


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
