"""Decisions as JSON: stable keys, money as text, nothing secret, and back again."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bridge.errors import PlacementError
from bridge.fdl.model import Cluster, Document
from bridge.scheduler import as_json, decide, from_json, snapshot_in, snapshot_of
from bridge.secret import Secret
from tests.scheduler.make import CLUSTER, FUNCTIONS, QUEUE, event, placed, service, snapshot, state


def stored() -> dict[str, Any]:
    asked = placed(service(gpu=0), fallback=("aws-batch",))
    now = snapshot(state(FUNCTIONS, run=2.0), QUEUE, replace(CLUSTER, slots=0))
    text = json.dumps(as_json(decide(asked, event(12), now, seed=7)), allow_nan=False)
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_keys() -> None:
    data = stored()
    assert list(data) == [
        "version",
        "service",
        "event",
        "policy",
        "seed",
        "target",
        "reason",
        "fallback",
        "candidates",
        "given",
    ]
    assert list(data["candidates"][0]) == [
        "target",
        "kind",
        "feasible",
        "reasons",
        "wait",
        "start",
        "run",
        "transfer",
        "finish",
        "cost",
        "request",
        "egress",
        "storage",
        "confidence",
        "age",
        "late",
        "notes",
        "score",
        "terms",
    ]
    assert list(data["candidates"][0]["terms"][0]) == ["name", "value", "raw", "unit", "weight"]
    assert data["candidates"][2]["reasons"] == [
        {"filter": "slots", "sentence": "my-cluster has no slots: it runs no jobs"}
    ]
    assert (data["version"], data["seed"], data["fallback"]) == (1, 7, ["aws-batch"])


def test_what_it_was_made_from_is_stored_without_what_is_usual() -> None:
    found = stored()["given"]
    assert found["cause"] == {
        "identity": event(12).identity,
        "provider": "s3.default",
        "size": 12,
    }
    assert found["targets"] == {
        "aws-lambda": {
            "spec": {"kind": "lambda", "region": "us-east-1"},
            "runs": {"run": 2.0, "confidence": 0.9},
        },
        "aws-batch": {"spec": {"kind": "batch", "region": "us-east-1"}},
        "my-cluster": {"spec": {"kind": "oscar", "slots": 0}},
    }


def test_a_decision_of_before_is_still_read_but_cannot_be_replayed() -> None:
    data = stored()
    del data["given"]
    assert from_json(data).snapshot is None
    with pytest.raises(PlacementError, match="does not say what it was made from"):
        snapshot_in(data)


def test_money_is_exact_text() -> None:
    cost = stored()["candidates"][0]["cost"]
    assert isinstance(cost, str)
    assert Decimal(cost) > 0


def test_there_and_back() -> None:
    data = stored()
    assert as_json(from_json(data)) == data


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"candidates": None},
        {"candidates": [{}]},
        {"given": {"targets": {"x": 1}}},
        {"given": {"targets": {"x": {"spec": {"kind": "oscar", "cpu": "much"}}}}},
    ],
)
def test_what_is_not_a_decision_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PlacementError, match="stored decision"):
        from_json(stored() | change)


def test_a_missing_key_is_refused() -> None:
    data = stored()
    del data["reason"]
    with pytest.raises(PlacementError, match="not a stored decision"):
        from_json(data)


def test_a_cost_that_is_no_number_is_refused() -> None:
    data = stored()
    data["candidates"][0]["cost"] = "much"
    with pytest.raises(PlacementError, match="not a stored decision"):
        from_json(data)


def test_no_secret_gets_in() -> None:
    word = "hunter2"
    asked = service(secrets={"TOKEN": Secret(word)}, variables={"KEY": word})
    targets = {
        spec.name: replace(spec, settings={"token": word, "password": Secret(word)})
        for spec in (FUNCTIONS, CLUSTER, replace(QUEUE, slots=0))
    }
    clusters = {"my-cluster": Cluster("my-cluster", auth_password=Secret(word))}
    document = Document("f.yaml", (asked,), clusters=clusters, targets=targets)
    decision = decide(asked, replace(event(), body=word.encode()), snapshot_of(document))
    assert word not in json.dumps(as_json(decision))
    assert word not in repr(decision)
