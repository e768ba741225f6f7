"""plan: every candidate with its reasons, and what a job would cost."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.command import EXAMPLES, bridge, write

DEMO = EXAMPLES / "demo" / "demo.yaml"
FREE = """
targets:
  cheap: {kind: kubernetes, slots: 4}
  dear: {kind: kubernetes, cost_per_hour: 9}
functions:
  bridge:
  - name: anywhere
    image: oscar-bridge/busybox:local
    memory: 64Mi
    cpu: '0.1'
    script: anywhere.sh
    input:
    - {storage_provider: minio, path: data/in}
"""


@pytest.fixture
def free(tmp_path: Path) -> Path:
    """A file with one service that is pinned nowhere."""
    return write(tmp_path, {"free.yaml": FREE, "anywhere.sh": "true\n"}) / "free.yaml"


def test_each_service_is_explained() -> None:
    done = bridge("plan", DEMO)
    assert done.status == 0, done.err
    for name, target in (
        ("split-years", "lab-cluster"),
        ("summarise-year", "aws-lambda"),
        ("draw-year", "aws-batch"),
    ):
        assert f"{name}: {target}: the file pins it there" in done.out
        assert f"→ {target}" in done.out
    assert "the FDL file pins summarise-year to aws-lambda" in done.out


def test_json_has_every_candidate_with_reasons_and_cost(free: Path) -> None:
    done = bridge("plan", DEMO, "--json")
    assert done.json["file"] == str(DEMO)
    decisions = {d["service"]: d for d in done.json["decisions"]}
    assert list(decisions) == ["split-years", "summarise-year", "draw-year"]
    for decision in decisions.values():
        targets = {c["target"]: c for c in decision["candidates"]}
        assert targets.keys() == {"lab-cluster", "aws-lambda", "aws-batch"}
        assert targets.pop(decision["target"])["feasible"]
        for other in targets.values():
            assert not other["feasible"]
            assert all(reason["sentence"] for reason in other["reasons"])
    batch = decisions["draw-year"]["candidates"][0]
    assert Decimal(batch["cost"]) > 0


def test_a_policy_weighs_the_candidates(free: Path) -> None:
    (decision,) = bridge("plan", free, "--policy", "cheapest", "--json").json["decisions"]
    assert decision["policy"] == "cheapest"
    assert decision["target"] != "dear"
    feasible = [c for c in decision["candidates"] if c["feasible"]]
    assert len(feasible) > 2
    assert all(c["terms"] and 0 <= c["score"] <= 1 for c in feasible)
    assert feasible[0]["target"] == decision["target"]


def test_an_unknown_policy_is_a_clear_error(free: Path) -> None:
    done = bridge("plan", free, "--policy", "luckiest")
    said = done.failed(2)
    assert "luckiest" in said and "cheapest" in said
    assert done.out == ""


def test_bad_fdl_is_said_as_validate_says_it(tmp_path: Path) -> None:
    path = write(tmp_path, {"bad.yaml": "functions: 3\n"}) / "bad.yaml"
    assert f"{path}:1:" in bridge("plan", path).failed(2)
    assert bridge("validate", path).err.splitlines()[0] in bridge("plan", path).err
