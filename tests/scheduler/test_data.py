"""The data files: dated, sourced, complete for every kind of target."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any, get_args

import pytest

from bridge.fdl import _placement
from bridge.fdl.model import TargetKind
from bridge.scheduler import POLICIES, list_prices
from bridge.scheduler._data import assumptions, start_of, table
from bridge.scheduler._limits import fargate_sizes
from bridge.scheduler._terms import TERMS


def sections() -> list[tuple[str, dict[str, Any]]]:
    prices, starts = table("prices"), table("starts")
    found = [
        (f"prices.{name}", prices[name])
        for name in ("lambda", "fargate", "egress", "between_regions")
    ]
    found += [("carbon.grid", table("carbon")), ("carbon.vcpu", table("carbon")["vcpu"])]
    return found + [(f"starts.{k}", v) for k, v in starts.items() if isinstance(v, dict)]


@pytest.mark.parametrize(("name", "section"), sections())
def test_every_section_says_where_it_is_from(name: str, section: dict[str, Any]) -> None:
    assert len(section["source"]) > 10, name
    dated = section.get("dated") or table(name.partition(".")[0])["dated"]
    assert datetime.date.fromisoformat(dated) > datetime.date(2025, 1, 1)


def test_every_price_is_a_positive_exact_number() -> None:
    prices = list_prices()
    for each in prices.functions.values():
        assert set(each.gb_second) == {"amd64", "arm64"}
        assert all(Decimal(0) < p < Decimal("0.0001") for p in each.gb_second.values())
        assert Decimal(0) < each.storage < each.request < Decimal("0.000001")
    for task in prices.fargate.values():
        assert set(task.vcpu_hour) == set(task.gb_hour) == {"amd64", "arm64"}
        assert all(0 < task.gb_hour[a] < task.vcpu_hour[a] < 1 for a in task.vcpu_hour)
    assert all(0 < price < 1 for price in prices.egress.values())
    assert 0 < prices.between_regions < prices.egress[prices.default_region]
    for by_region in (prices.functions, prices.fargate, prices.egress):
        assert prices.default_region in by_region


@pytest.mark.parametrize("kind", get_args(TargetKind))
def test_every_kind_of_target_has_a_typical_start(kind: str) -> None:
    names = ("batch-ec2", "batch-fargate") if kind == "batch" else (kind,)
    for name in names:
        start = start_of(name)
        assert 0 <= start.billed <= start.seconds


def test_assumptions_are_usable() -> None:
    found = assumptions()
    assert found.run_seconds > 0
    assert found.object_bytes == 10_000_000
    assert 0 < found.price_fallback_trust < 1
    assert set(found.seconds_per_byte) == {"aws", "internet", "site"}


def test_fargate_sizes_grow() -> None:
    sizes = fargate_sizes()
    assert list(sizes) == sorted(sizes)
    assert all(list(memories) == sorted(memories) for memories in sizes.values())


@pytest.mark.parametrize("name", POLICIES)
def test_policies_weigh_terms_that_exist(name: str) -> None:
    policy = POLICIES[name]
    assert policy.name == name
    assert set(policy.weights) <= set(TERMS)
    assert all(weight > 0 for weight in policy.weights.values())
    assert policy.weights or policy.score


def test_the_grammar_knows_the_same_words() -> None:
    assert set(_placement.POLICIES) == set(POLICIES)
    assert set(_placement.TERMS) == set(TERMS)
