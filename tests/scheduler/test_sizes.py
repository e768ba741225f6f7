"""What is bought of AWS for a service."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bridge.errors import PlacementError
from bridge.scheduler import FargateSize, LambdaSize, fargate_size, lambda_size
from tests.scheduler.make import GIB, MIB, service


@pytest.mark.parametrize(
    ("memory", "mb"),
    [(1, 128), (128 * MIB, 128), (128 * MIB + 1, 129), (GIB, 1024), (10240 * MIB, 10240)],
)
def test_lambda_memory_is_rounded_up(memory: int, mb: int) -> None:
    assert lambda_size(service(memory=memory)).memory == mb


@pytest.mark.parametrize(
    ("timeout", "seconds"), [(None, 900), (0.2, 1), (59.5, 60), (900.0, 900), (5000.0, 900)]
)
def test_lambda_timeout(timeout: float | None, seconds: int) -> None:
    assert lambda_size(service(timeout=timeout)).timeout == seconds


def test_lambda_storage() -> None:
    assert lambda_size(service()) == LambdaSize(1024, 900, 512)
    assert lambda_size(service(storage=GIB + 1)).storage == 1025


@pytest.mark.parametrize("asked", [service(memory=10241 * MIB), service(storage=20 * GIB)])
def test_lambda_has_no_such_size(asked: object) -> None:
    with pytest.raises(PlacementError, match="Lambda allows at most 10240 MB"):
        lambda_size(asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cpu", "memory", "vcpu", "mib"),
    [
        ("0.2", 256 * MIB, "0.25", 512),
        ("0.25", 2 * GIB, "0.25", 2048),
        ("0.25", 3 * GIB, "0.5", 3072),
        ("0.3", 256 * MIB, "0.5", 1024),
        ("1", GIB, "1", 2048),
        ("1", 2 * GIB + 1, "1", 3072),
        ("1", 9 * GIB, "2", 9216),
        ("3", GIB, "4", 8192),
        ("8", 17 * GIB, "8", 20480),
        ("16", 120 * GIB, "16", 122880),
    ],
)
def test_the_smallest_fargate_size_that_fits(cpu: str, memory: int, vcpu: str, mib: int) -> None:
    size = fargate_size(service(cpu=cpu, memory=memory).resources)
    assert size == FargateSize(Decimal(vcpu), mib)
    assert str(size.vcpu) == vcpu


@pytest.mark.parametrize(("cpu", "memory"), [("17", GIB), ("1", 121 * GIB)])
def test_fargate_has_no_such_size(cpu: str, memory: int) -> None:
    with pytest.raises(PlacementError, match="largest size is 16 vCPU with 120 GiB"):
        fargate_size(service(cpu=cpu, memory=memory).resources)
