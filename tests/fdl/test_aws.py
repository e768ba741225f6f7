from __future__ import annotations

from decimal import Decimal

import pytest

from bridge.fdl import AwsOptions, Service, parse
from bridge.fdl.options import ApiGatewayOptions, BatchOptions, ComputeResources, LambdaOptions
from tests.fdl.texts import SHAPES, aws, load_text, only, problem, problems


def options(service: Service) -> AwsOptions:
    assert isinstance(service.options, AwsOptions)
    return service.options


def test_the_defaults() -> None:
    service = only(aws())
    assert (service.name, service.image, service.origin) == ("fun", "busybox", "aws")
    assert (service.pin, service.execution_mode) == ("aws-lambda", "lambda")
    assert (service.resources.memory, service.timeout) == (512 * 2**20, 300.0)
    assert service.resources.cpu == Decimal("0.289")
    assert options(service) == AwsOptions()
    assert options(service).function == LambdaOptions(memory=512, timeout=300)


@pytest.mark.parametrize(
    ("mode", "pin"),
    [("lambda", "aws-lambda"), ("lambda-batch", "aws-lambda"), ("batch", "aws-batch")],
)
def test_the_mode_says_the_pin(mode: str, pin: str) -> None:
    assert only(aws(f"execution_mode: {mode}")).pin == pin


def test_batch_mode_takes_the_batch_blocks_resources() -> None:
    service = only(
        aws(
            "execution_mode: batch\nmemory: 128\ntimeout: 10",
            "batch: {vcpus: 4, memory: 12288, enable_gpu: on, timeout: 2h, retries: 3, array: 10}",
        )
    )
    assert (service.resources.cpu, service.resources.memory) == (4, 12288 * 2**20)
    assert (service.resources.gpu, service.timeout) == (1, 7200.0)
    assert options(service).batch == BatchOptions(
        vcpus=Decimal(4), memory=12288, enable_gpu=True, timeout=7200.0, retries=3, array=10
    )


def test_batch_mode_has_no_timeout_of_its_own() -> None:
    service = only(aws("execution_mode: batch"))
    assert (service.timeout, service.resources.cpu) == (None, 1)
    assert service.resources.memory == 1024 * 2**20


def test_the_whole_catalogue() -> None:
    document = load_text(SHAPES / "scar-catalogue.yaml")
    service = document.service("function1")
    found = options(service)
    assert (service.arch, service.log_level, service.timeout) == ("arm64", "DEBUG", 300.0)
    assert service.variables == {"KEY1": "1", "KEY2": "val2"}
    assert found.function.environment == {"KEY1": "val1"}
    assert (found.function.ephemeral_storage, found.function.reserved_concurrency) == (2048, 10)
    assert service.resources.ephemeral_storage == 2048 * 2**20
    assert (found.function.retries, found.function.container.timeout_threshold) == (1, 20)
    assert found.function.file_system[0]["LocalMountPath"] == "/mnt/efs"
    assert found.api_gateway == ApiGatewayOptions(
        name="front", region="eu-west-1", method={"authorizationType": "NONE"}
    )
    assert found.batch.environment == {"KEY3": "val3"}
    assert found.batch.compute_resources.instance_types == ("g3s.xlarge",)
    assert found.batch.multi_node_parallel.number_nodes == 3
    assert not found.ecr.delete_image
    assert [str(p) for p in service.outputs] == [
        "s3.my_s3:my-bucket/test-output",
        "minio.my_minio:other-bucket",
    ]


def test_run_script_stands_in_for_init_script() -> None:
    assert only(aws("run_script: a.sh")).script == "a.sh"
    assert only(aws("run_script: a.sh\ninit_script: b.sh")).script == "b.sh"
    assert only(aws()).script == ""


def test_lists_replace_the_defaults() -> None:
    found = options(only(aws(beside="batch: {compute_resources: {instance_types: [c5.large]}}")))
    assert found.batch.compute_resources == ComputeResources(instance_types=("c5.large",))


def test_paths_of_buckets_stay_as_they_are() -> None:
    service = only(aws("input: [{storage_provider: s3, path: my-bucket}]"))
    assert (service.inputs[0].bucket, service.inputs[0].folder) == ("my-bucket", "")


def test_regions_go_to_the_implied_targets() -> None:
    assert parse(aws()).targets["aws-lambda"].region == "us-east-1"
    document = parse(aws("region: eu-west-1"))
    assert document.targets["aws-lambda"].region == "eu-west-1"
    assert document.targets["aws-batch"].region == "eu-west-1"
    text = aws("execution_mode: batch\nregion: eu-west-1", "batch: {region: eu-west-3}")
    assert parse(text).targets["aws-batch"].region == "eu-west-3"


def test_an_image_or_its_archive_is_needed() -> None:
    assert only(aws(container="image_file: image.tar")).image == ""
    found = problem(aws(container="alpine: true"))
    assert found.path == "functions.aws[0].lambda.container"


def test_the_grammar_before_2020_is_refused_with_advice() -> None:
    found = problems(aws("image: busybox\nplacement: {}"))
    assert [p.hint for p in found] == ["write it under container", "write it beside lambda"]


def test_a_lambda_section_is_needed() -> None:
    found = problems("functions:\n  aws:\n  - batch: {}\n")
    assert "the key 'lambda' is missing" in found[0].message


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ("{platform: FARGATE, vcpus: 3}", "vcpus"),
        ("{platform: FARGATE, vcpus: 2, memory: 1024}", "memory"),
        ("{platform: FARGATE, vcpus: 1, memory: 2048, enable_gpu: true}", "enable_gpu"),
        ("{vcpus: 0.5}", "vcpus"),
        (
            "{platform: FARGATE, vcpus: 1, memory: 2048, multi_node_parallel: {enabled: true}}",
            "multi_node_parallel",
        ),
    ],
)
def test_sizes_of_batch_jobs(block: str, path: str) -> None:
    assert problem(aws(beside=f"batch: {block}")).path == f"functions.aws[0].batch.{path}"


@pytest.mark.parametrize("size", ["vcpus: 0.25, memory: 512", "vcpus: 8, memory: 20480"])
def test_sizes_that_fargate_has(size: str) -> None:
    assert only(aws(beside=f"batch: {{platform: fargate, {size}}}"))
