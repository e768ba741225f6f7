"""Grammar of services in SCAR's words: `functions.aws`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from bridge.fdl import _aws_parts as parts
from bridge.fdl import _placement
from bridge.fdl._aws_options import AwsOptions, BatchOptions, LambdaOptions
from bridge.fdl._context import Built, Context
from bridge.fdl._kinds import Plain
from bridge.fdl._records import Field, Record, Section
from bridge.fdl._services import check_image, dump_environment
from bridge.fdl._storage import check_triggers, dump_path, storage_paths
from bridge.fdl.limits import fargate_sizes, limits
from bridge.fdl.model import Placement, Resources, Service

MIB: Final = 2**20

AWS_SERVICE: Final = Record(
    "aws_service",
    "A service of AWS Lambda or AWS Batch.",
    (
        Field("lambda", parts.LAMBDA, "the function", required=True, attr="function"),
        Field("iam", parts.IAM, "its role"),
        Field("api_gateway", parts.API_GATEWAY, "its HTTP front"),
        Field("cloudwatch", parts.CLOUDWATCH, "its logs"),
        Field("batch", parts.BATCH, "its Batch job"),
        Field("s3", parts.S3, "its buckets"),
        Field("ecr", parts.ECR, "its image's registry"),
        Field("placement", _placement.PLACEMENT, "where the scheduler may place it"),
    ),
    make=AwsOptions,
)


def build(section: Section, context: Context) -> Built:
    """One service. Its problems go to the log."""
    function, batch = section.sub("lambda"), section.sub("batch")
    _check(function, batch, context)
    options = _options(section)
    inputs = storage_paths(function, "input", context)
    check_triggers(inputs, "aws", context)
    mode = function.get("execution_mode")
    script, text = context.script(function, _script_key(function))
    container = function.sub("container")
    environment = container.sub("environment")
    service = Service(
        name=function.get("name") or "",
        origin="aws",
        image=container.get("image") or "",
        resources=_resources(options, mode),
        pin=_placement.BATCH if mode == "batch" else _placement.LAMBDA,
        execution_mode=mode,
        script=script,
        script_text=text,
        inputs=inputs,
        outputs=storage_paths(function, "output", context),
        variables=environment.get("variables") or {},
        secrets=environment.get("secrets") or {},
        timeout=options.batch.timeout if mode == "batch" else float(options.function.timeout),
        log_level=function.get("log_level"),
        arch="arm64" if options.function.architectures[:1] == ("arm64",) else "amd64",
        placement=_placement.placement(section, context),
        options=options,
        place=section.place(),
    )
    region = batch.get("region") if mode == "batch" and "region" in batch else ""
    given = function.get("region") if "region" in function else ""
    return Built(service, function, region=region or given)


def _script_key(function: Section) -> str:
    return "init_script" if function.get("init_script") else "run_script"


def _options(section: Section) -> AwsOptions:
    function, batch = section.sub("lambda"), section.sub("batch")
    options: AwsOptions = section.build(
        function=function.build(environment=_variables(function)),
        batch=batch.build(environment=_variables(batch)),
    )
    return options


def _variables(section: Section) -> Mapping[str, str]:
    return section.sub("environment").get("variables") or {}


def _resources(options: AwsOptions, mode: str) -> Resources:
    """What one job needs: the function's memory with its share of CPU, or the batch block."""
    function, batch = options.function, options.batch
    if mode == "batch":
        return Resources(cpu=batch.vcpus, memory=batch.memory * MIB, gpu=int(batch.enable_gpu))
    per_vcpu = limits()["lambda.memory_per_vcpu"].value
    assert per_vcpu is not None
    cpu = (Decimal(function.memory) / per_vcpu).quantize(Decimal("0.001"))
    storage = function.ephemeral_storage
    return Resources(
        cpu=cpu,
        memory=function.memory * MIB,
        ephemeral_storage=None if storage is None else storage * MIB,
    )


def _check(function: Section, batch: Section, context: Context) -> None:
    """What the tables of fields cannot say of a service."""
    mode, name = function.get("execution_mode"), function.get("name")
    if "name" in function:
        place = function.place("name")
        limit = "batch.name" if mode == "batch" else "lambda.name"
        context.log.check(limit, name, place, place.path, repr(name))
        if mode == "lambda-batch":
            context.log.check("batch.name", name, place, place.path, repr(name))
    container = function.sub("container")
    if not {"image", "image_file"} & container.nodes.keys():
        container.missing("image", context.log)
    check_image(container, context)
    if mode != "batch":
        _check_environment(function, container, context)
    _check_sizes(batch, context)


def _check_environment(function: Section, container: Section, context: Context) -> None:
    own, script = _variables(function), _variables(container)
    size = sum(len(f"{name}{value}".encode()) for name, value in {**own, **script}.items())
    place = container.place("environment") if script else function.place("environment")
    context.log.check("lambda.environment", size, place, place.path, f"an environment of {size}")


def _check_sizes(batch: Section, context: Context) -> None:
    vcpus, memory = batch.get("vcpus"), batch.get("memory")
    if batch.get("platform") == "EC2":
        if vcpus != int(vcpus):
            hint = "write a whole number, or platform: FARGATE"
            context.log.at(batch.place("vcpus"), f"EC2 has no {vcpus} vCPUs", hint)
        return
    sizes = fargate_sizes(vcpus)
    if memory not in sizes:
        allowed = f"with {vcpus} vCPUs it has {_range(sizes)} MiB" if sizes else _all_sizes()
        message = f"Fargate has no job of {vcpus} vCPUs and {memory} MiB"
        where = "memory" if "memory" in batch and sizes else "vcpus"
        context.log.at(batch.place(where), message, allowed)
    if batch.get("enable_gpu"):
        context.log.at(batch.place("enable_gpu"), "Fargate has no GPU", "write platform: EC2")
    if batch.sub("multi_node_parallel").get("enabled"):
        place = batch.place("multi_node_parallel")
        context.log.at(place, "Fargate has no jobs on several nodes", "write platform: EC2")


def _range(sizes: tuple[int, ...]) -> str:
    step = sizes[1] - sizes[0]
    if len(sizes) > 3:
        return f"{sizes[0]} to {sizes[-1]} in steps of {step}"
    return ", ".join(map(str, sizes))


def _all_sizes() -> str:
    return f"it has {', '.join(limits()['batch.fargate'].sizes)} vCPUs"


def dump(service: Service, reveal: bool) -> dict[str, Plain]:
    """The plain map of a service that `build` made."""
    options = service.options
    if not isinstance(options, AwsOptions):
        raise TypeError(f"the service {service.name} carries no AwsOptions")
    plain: dict[str, Plain] = {"lambda": _dump_lambda(service, options.function, reveal)}
    bare = dataclasses.replace(options, function=LambdaOptions(), batch=BatchOptions())
    rest = AWS_SERVICE.dump(bare, reveal)
    batch = _dump_batch(options.batch, reveal)
    if batch:
        rest["batch"] = batch
    if service.placement != Placement():
        rest["placement"] = _placement.dump_placement(service, reveal)
    return plain | {key: value for key, value in rest.items() if key != "lambda"}


def _dump_lambda(service: Service, function: LambdaOptions, reveal: bool) -> dict[str, Plain]:
    own: dict[str, Any] = {
        "name": service.name,
        "execution_mode": service.execution_mode,
        "log_level": service.log_level,
        "input": tuple(map(dump_path, service.inputs)),
        "output": tuple(map(dump_path, service.outputs)),
        "environment": {"variables": function.environment} if function.environment else None,
    }
    plain = parts.LAMBDA.dump(own, reveal)
    plain |= parts.LAMBDA.dump(dataclasses.replace(function, environment={}), reveal)
    return plain | {"container": _dump_container(service, function, reveal)}


def _dump_container(service: Service, function: LambdaOptions, reveal: bool) -> Plain:
    own = {"image": service.image or None, "environment": dump_environment(service)}
    return parts.CONTAINER.dump(own, reveal) | parts.CONTAINER.dump(function.container, reveal)


def _dump_batch(batch: BatchOptions, reveal: bool) -> dict[str, Plain]:
    plain = parts.BATCH.dump(dataclasses.replace(batch, environment={}), reveal)
    if batch.environment:
        plain |= parts.BATCH.dump({"environment": {"variables": batch.environment}}, reveal)
    return plain
