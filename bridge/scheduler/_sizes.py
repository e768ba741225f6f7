"""What of AWS is bought for a service: the size of a function and of a Fargate task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Final

from bridge.errors import PlacementError
from bridge.fdl.model import Resources, Service
from bridge.scheduler._limits import fargate_sizes, least, most
from bridge.scheduler._words import gibibytes, megabytes

_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class LambdaSize:
    """A function's configuration: memory and /tmp in MB (of 2^20 bytes), timeout in seconds."""

    memory: int
    timeout: int
    storage: int


@dataclass(frozen=True, slots=True)
class FargateSize:
    """A task's size: `vcpu` as Fargate writes it (0.25 to 16), memory in MiB."""

    vcpu: Decimal
    memory: int


def lambda_size(service: Service) -> LambdaSize:
    """The smallest function that has what the service asks for.

    Memory and /tmp are rounded up to whole MB and to Lambda's minimum. The timeout is the
    service's in whole seconds, rounded up; Lambda's own when it is longer or not given. CPU is not
    looked at: Lambda gives it in proportion to memory. PlacementError when Lambda has no such size.
    """
    cap, wanted = most("lambda.timeout"), service.resources
    return LambdaSize(
        memory=_lambda_part("lambda.memory", "memory", wanted.memory),
        timeout=cap if service.timeout is None else max(1, min(ceil(service.timeout), cap)),
        storage=_lambda_part(
            "lambda.ephemeral_storage", "temporary storage", wanted.ephemeral_storage or 0
        ),
    )


def _lambda_part(name: str, what: str, asked: int) -> int:
    size = max(ceil(asked / _MIB), least(name))
    if size > most(name):
        raise PlacementError(lambda_too_small(what, asked, most(name)))
    return size


def lambda_too_small(what: str, asked: int, high: int) -> str:
    """The sentence for a service that asks for more than Lambda has."""
    return f"Lambda allows at most {high} MB of {what}; the service asks for {megabytes(asked)}"


def fargate_size(resources: Resources) -> FargateSize:
    """The smallest valid pair of vCPU and memory with at least what is asked for.

    Smallest is the fewest vCPU first, then the least memory. PlacementError when there is none.
    """
    asked = ceil(resources.memory / _MIB)
    for vcpu, memories in fargate_sizes().items():
        if vcpu >= resources.cpu:
            for memory in memories:
                if memory >= asked:
                    return FargateSize(vcpu, memory)
    raise PlacementError(_no_fargate(resources, fargate_sizes()))


def _no_fargate(resources: Resources, sizes: Mapping[Decimal, tuple[int, ...]]) -> str:
    vcpu, memories = list(sizes.items())[-1]
    most = gibibytes(memories[-1] * _MIB)
    return (
        f"Fargate's largest size is {vcpu} vCPU with {most}; "
        f"the service asks for {resources.cpu} vCPU and {gibibytes(resources.memory)}"
    )
