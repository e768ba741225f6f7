from __future__ import annotations

from datetime import date

import pytest

from bridge.fdl import fargate_sizes, limits
from tests.fdl.texts import aws, only, oscar, problem


def test_every_limit_says_where_it_stands_and_when_it_was_read() -> None:
    for limit in limits().values():
        assert limit.source.startswith("https://")
        assert date.fromisoformat(limit.date)
        assert limit.bounds or limit.sizes or limit.value


@pytest.mark.parametrize(
    ("text", "limit", "path"),
    [
        (aws("memory: 20000"), "lambda.memory", "lambda.memory"),
        (aws("memory: 127"), "lambda.memory", "lambda.memory"),
        (aws("timeout: 5000"), "lambda.timeout", "lambda.timeout"),
        (aws("timeout: 0"), "lambda.timeout", "lambda.timeout"),
        (aws("ephemeral_storage: 100"), "lambda.ephemeral_storage", "lambda.ephemeral_storage"),
        (aws("retries: 3"), "lambda.retries", "lambda.retries"),
        (aws("layers: [a, b, c, d, e, f]"), "lambda.layers", "lambda.layers"),
        (aws().replace("name: fun", "name: no.dots"), "lambda.name", "lambda.name"),
        (
            aws("execution_mode: batch").replace("name: fun", "name: _first"),
            "batch.name",
            "lambda.name",
        ),
        (
            aws("execution_mode: lambda-batch").replace("name: fun", "name: _first"),
            "batch.name",
            "lambda.name",
        ),
        (
            aws(beside="cloudwatch: {log_retention_policy_in_days: 31}"),
            "lambda.log_retention",
            "cloudwatch.log_retention_policy_in_days",
        ),
        (aws(beside="batch: {timeout: 59s}"), "batch.timeout", "batch.timeout"),
        (aws(beside="batch: {retries: 11}"), "batch.retries", "batch.retries"),
        (aws(beside="batch: {array: 1}"), "batch.array", "batch.array"),
        (aws(beside="batch: {memory: 3}"), "batch.memory", "batch.memory"),
        (
            aws("input: [{storage_provider: s3, path: Nope}]"),
            "s3.bucket_name",
            "lambda.input[0].path",
        ),
    ],
)
def test_a_broken_limit_is_a_problem_at_its_place(text: str, limit: str, path: str) -> None:
    found = problem(text)
    assert f"breaks the limit {limit}:" in found.message
    assert found.path == f"functions.aws[0].{path}"
    assert limits()[limit].source in found.hint


@pytest.mark.parametrize("text", ["memory: 128", "memory: '10240'", "timeout: 900"])
def test_the_bounds_themselves_are_allowed(text: str) -> None:
    assert only(aws(text))


@pytest.mark.parametrize("name", ["a" * 40, "Upper", "under_score", "-dash", "dash-", "dot.dot"])
def test_names_of_oscar_services(name: str) -> None:
    assert "oscar.name" in problem(oscar().replace("svc", name)).message


def test_memory_without_a_unit_is_bytes_and_too_small() -> None:
    assert problem(oscar("memory: 512")).message.startswith(
        "512 bytes breaks the limit oscar.memory"
    )


def test_the_environment_of_a_function() -> None:
    big = f"image: busybox\nenvironment: {{Variables: {{A: {'x' * 4096}}}}}"
    found = problem(aws(container=big))
    assert "lambda.environment" in found.message
    assert found.path == "functions.aws[0].lambda.container.environment"
    assert only(aws("execution_mode: batch", container=big))


def test_sizes_of_fargate() -> None:
    assert fargate_sizes("0.25") == (512, 1024, 2048)
    assert fargate_sizes(16)[-1] == 122880
    assert fargate_sizes(3) == ()
