"""Grammar of the sections of an entry under `functions.aws`."""

from __future__ import annotations

from typing import Final

from bridge.fdl._aws_options import (
    ApiGatewayOptions,
    BatchOptions,
    CloudWatchOptions,
    ComputeResources,
    ContainerOptions,
    DeploymentOptions,
    EcrOptions,
    IamOptions,
    LambdaOptions,
    MultiNodeParallel,
    S3Options,
    SupervisorOptions,
)
from bridge.fdl._kinds import Amount, Choice, Flag, Free, Text, Whole
from bridge.fdl._oscar_parts import ENVIRONMENT
from bridge.fdl._records import Field, ListOf, Record
from bridge.fdl._services import LOG_LEVEL
from bridge.fdl._storage import STORAGE_PATH

_PROFILE: Final = Field("boto_profile", Text(), "profile of the AWS configuration")
_REGION: Final = Field("region", Text(), "AWS region")
_TEXTS: Final = ListOf(Text(), lone=True)

VARIABLES: Final = Record(
    "variables",
    "Environment variables.",
    (ENVIRONMENT.by_name["variables"],),
)
CONTAINER: Final = Record(
    "container",
    "The user's image on Lambda.",
    (
        Field("image", Text(), "container image"),
        Field("image_file", Text(), "archive of an image, as `docker save` writes it"),
        Field("alpine", Flag(), "the image is based on Alpine"),
        Field("create_image", Flag(), "rebuild an image that is already in ECR"),
        Field("timeout_threshold", Whole(), "seconds kept back for the upload"),
        Field("environment", ENVIRONMENT, "variables that the script sees"),
        Field("extra_payload", Text(), "folder beside the function's code"),
        Field("init_script", Text(), "set by clients; not read"),
    ),
    make=ContainerOptions,
)
_DEPLOYMENT: Final = Record(
    "deployment",
    "How a zip package is uploaded.",
    (
        Field("bucket", Text(), "bucket for the package"),
        Field("max_payload_size", Whole(), "bytes of a package that is sent directly"),
        Field("max_s3_payload_size", Whole(), "bytes of a package in a bucket"),
    ),
    make=DeploymentOptions,
)
_SUPERVISOR: Final = Record(
    "supervisor",
    "Upstream's choice of supervisor.",
    (
        Field("version", Text(), "tag, or latest"),
        Field("layer_name", Text(), "name of its layer"),
        Field("license_info", Text(), "licence of its layer"),
    ),
    make=SupervisorOptions,
)
LAMBDA: Final = Record(
    "lambda",
    "The function, and the job that `execution_mode` makes of it.",
    (
        Field("name", Text(), "name of the function", required=True),
        _PROFILE,
        _REGION,
        Field("memory", Whole("lambda.memory"), "MB of memory"),
        Field("timeout", Whole("lambda.timeout"), "seconds after which it is stopped"),
        Field("runtime", Text(), "image, or an AWS runtime"),
        Field(
            "architectures",
            ListOf(Choice(("x86_64", "arm64"), other={"amd64": "x86_64"}), lone=True),
            "processor architecture",
        ),
        Field("description", Text(), "what the function is for"),
        Field(
            "execution_mode",
            Choice(("lambda", "lambda-batch", "batch")),
            "where jobs run: lambda, lambda first and batch after a timeout, or batch",
            default="lambda",
        ),
        Field("layers", ListOf(Text(), lone=True, limit="lambda.layers"), "ARNs of layers"),
        Field("log_level", LOG_LEVEL, "level of the supervisor's log", default="INFO"),
        Field("init_script", Text(), "path of the script to run, relative to this file"),
        Field("run_script", Text(), "script of a single run; used when init_script is absent"),
        Field("c_args", _TEXTS, "arguments of the container"),
        Field("extra_payload", Text(), "folder that is packed with the function"),
        Field("preheat", Flag(), "invoke it once after it is made"),
        Field(
            "invocation_type", Choice(("RequestResponse", "Event", "DryRun")), "how it is called"
        ),
        Field("asynchronous", Flag(), "do not wait for the reply"),
        Field("log_type", Choice(("Tail", "None")), "whether the reply carries the log's end"),
        Field("environment", VARIABLES, "the function's own variables"),
        Field("vpc", Free(), "VpcConfig as in AWS's API"),
        Field("file_system", ListOf(Free()), "FileSystemConfigs as in AWS's API"),
        Field("deployment", _DEPLOYMENT, "how a zip package is uploaded"),
        Field("container", CONTAINER, "the user's image"),
        Field("input", ListOf(STORAGE_PATH), "folders whose new objects start it", default=()),
        Field("output", ListOf(STORAGE_PATH), "folders that the outputs go to", default=()),
        Field("supervisor", _SUPERVISOR, "upstream's choice of supervisor"),
        Field("ephemeral_storage", Whole("lambda.ephemeral_storage"), "MB of scratch space"),
        Field("reserved_concurrency", Whole(), "runs that are kept free for this function"),
        Field("retries", Whole("lambda.retries"), "retries of an asynchronous invocation"),
    ),
    make=LambdaOptions,
    advice={
        "image": "write it under container",
        "image_file": "write it under container",
        "script": "write init_script",
        "time": "write timeout",
        "placement": "write it beside lambda",
        "batch": "write it beside lambda",
    },
)
IAM: Final = Record(
    "iam",
    "The execution role.",
    (_PROFILE, Field("role", Text(), "ARN of a role that exists; none makes a least one")),
    make=IamOptions,
)
API_GATEWAY: Final = Record(
    "api_gateway",
    "An HTTP front of the function.",
    (
        Field("name", Text(), "name of the API; without it none is made"),
        _PROFILE,
        _REGION,
        Field("http_method", Text(), "method that is answered"),
        Field("method", Free(), "more parameters of the method"),
        Field("integration", Free(), "more parameters of the integration"),
        Field("path_part", Text(), "path that is answered"),
        Field("stage_name", Text(), "name of the stage"),
        Field("service_id", Text(), "principal that may call the function"),
        Field("source_arn_testing", Text(), "pattern of the testing permission"),
        Field("source_arn_invocation", Text(), "pattern of the invocation permission"),
        Field("endpoint", Text(), "pattern of the URL"),
    ),
    make=ApiGatewayOptions,
)
CLOUDWATCH: Final = Record(
    "cloudwatch",
    "The function's logs.",
    (
        _PROFILE,
        _REGION,
        Field("log_retention_policy_in_days", Whole("lambda.log_retention"), "days of logs"),
    ),
    make=CloudWatchOptions,
)
S3: Final = Record(
    "s3",
    "The client of the buckets.",
    (_PROFILE, _REGION, Field("event", Free(), "template of the events that a run makes")),
    make=S3Options,
)
ECR: Final = Record(
    "ecr",
    "The registry of the images.",
    (_PROFILE, _REGION, Field("delete_image", Flag(), "remove the image with the function")),
    make=EcrOptions,
)
_MULTI_NODE: Final = Record(
    "multi_node_parallel",
    "A job that runs on several nodes at once.",
    (
        Field("enabled", Flag(), "whether it does"),
        Field("number_nodes", Whole(low=1), "how many nodes"),
        Field("main_node_index", Whole(), "which one leads"),
    ),
    make=MultiNodeParallel,
)
_COMPUTE: Final = Record(
    "compute_resources",
    "The machines behind a Batch queue.",
    (
        Field("type", Choice(("EC2", "SPOT", "FARGATE", "FARGATE_SPOT")), "kind of machines"),
        Field("min_v_cpus", Whole(), "vCPUs that are always there"),
        Field("desired_v_cpus", Whole(), "vCPUs at the start"),
        Field("max_v_cpus", Whole(), "most vCPUs"),
        Field("instance_types", _TEXTS, "types of instances"),
        Field("subnets", _TEXTS, "subnets of the machines"),
        Field("security_group_ids", _TEXTS, "security groups of the machines"),
        Field("instance_role", Text(), "ARN of the machines' instance profile"),
        Field("launch_template_name", Text(), "name of the launch template"),
    ),
    make=ComputeResources,
)
BATCH: Final = Record(
    "batch",
    "The Batch job of execution modes batch and lambda-batch.",
    (
        _PROFILE,
        _REGION,
        Field("vcpus", Amount("cpu"), "vCPUs of a job"),
        Field("memory", Whole("batch.memory"), "MiB of memory of a job"),
        Field("enable_gpu", Flag(), "a job needs a GPU"),
        Field("state", Choice(("ENABLED", "DISABLED")), "state of the compute environment"),
        Field("type", Choice(("MANAGED", "UNMANAGED")), "type of the compute environment"),
        Field("environment", VARIABLES, "more variables of the job"),
        Field("service_role", Text(), "ARN of Batch's own role"),
        Field("multi_node_parallel", _MULTI_NODE, "a job on several nodes"),
        Field("compute_resources", _COMPUTE, "the machines"),
        Field("platform", Choice(("EC2", "FARGATE")), "what runs the container"),
        Field("retries", Whole("batch.retries"), "attempts of a job"),
        Field("timeout", Amount("duration", "batch.timeout"), "time of one attempt"),
        Field("array", Whole("batch.array"), "size of an array job"),
    ),
    make=BatchOptions,
)
