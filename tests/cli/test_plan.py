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


WHOLE = """\
crossings between sites, for each object of 10 MB

 from                         to                       by way of      takes   USD
 ─────────────────────────────────────────────────────────────────────────────────────
 split-regions (aws-lambda)   sum-energy (my-cluster)  minio.default  900 ms  0.0008382
 sum-energy (my-cluster)      draw-map (aws-batch)     s3.default     1.0 s   0

the pipeline as a whole: 11.6 min, 0.0017862 USD, 2 crossings for an object through all stages, \
with each service where it would be alone
"""


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip(" ─")]


def test_what_crosses_between_sites_has_its_price() -> None:
    done = bridge("plan", EXAMPLES / "hybrid" / "swapped.yaml", "--offline")
    assert done.status == 0, done.err
    said = done.out[done.out.index("crossings between") : done.out.index("no change set")]
    assert squeezed(said) == squeezed(WHOLE)


TOGETHER = """
targets:
  near: {kind: kubernetes}
  far: {kind: kubernetes}
functions:
  bridge:
  - &stage
    name: first
    image: oscar-bridge/busybox:local
    memory: 64Mi
    cpu: '0.1'
    script: stage.sh
    input: [{storage_provider: minio, path: data/in}]
    output: [{storage_provider: minio, path: data/mid}]
    placement: {targets: [near], policy: fastest}
  - <<: *stage
    name: third
    input: [{storage_provider: minio, path: data/mid}]
    output: [{storage_provider: minio, path: data/out}]
    placement: {targets: [far, near], policy: fastest}
"""


# Alone, the lot would send the third stage away from its data.
def test_a_service_is_placed_where_its_pipeline_wants_it(tmp_path: Path) -> None:
    path = write(tmp_path, {"pipe.yaml": TOGETHER, "stage.sh": "true\n"}) / "pipe.yaml"
    found = bridge("plan", path, "--offline", "--json").json
    assert {d["service"]: d["target"] for d in found["decisions"]} == dict.fromkeys(
        ("first", "third"), "near"
    )
    whole = found["pipeline"]
    assert whole["moved"] == ["third"]
    assert (whole["whole"]["crossings"], whole["alone"]["crossings"]) == (0, 1)
    assert "alone it would be far" in found["decisions"][1]["reason"]
    said = bridge("plan", path, "--offline").out
    assert "; each service alone: " in said
