"""Limits of the backends, from the one file that validation reads too (`bridge/fdl/data`)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache

from bridge.fdl.limits import limits


@cache
def least(name: str) -> int:
    """The lower bound of a limit, 0 when it has none."""
    return limits()[name].min or 0


@cache
def most(name: str) -> int:
    """The upper bound of a limit that has one."""
    bound = limits()[name].max
    assert bound is not None, name
    return bound


@cache
def fargate_sizes() -> Mapping[Decimal, tuple[int, ...]]:
    """MiB of memory by number of vCPUs, both from the smallest up."""
    sizes = limits()["batch.fargate"].sizes
    return {Decimal(vcpu): sizes[vcpu] for vcpu in sorted(sizes, key=Decimal)}
