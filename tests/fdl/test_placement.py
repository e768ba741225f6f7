"""Our own grammar: functions.bridge, placement, targets."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from bridge.fdl import Placement, TargetSpec, parse
from bridge.secret import Secret
from tests.fdl.texts import SHAPES, aws, load_text, only, oscar, problem, problems


def test_a_service_that_the_scheduler_places() -> None:
    document = load_text(SHAPES / "placed.yaml")
    service = document.service("anywhere")
    assert (service.origin, service.pin, service.timeout) == ("bridge", "", 600.0)
    assert (service.arch, service.inputs[0].path) == ("arm64", "anywhere/in")
    assert service.placement == Placement(
        targets=("lab", "aws-lambda", "here", "gpu-box"),
        policy="cheapest",
        require={"gpu": False, "arch": "arm64", "region": "eu-west-1"},
        prefer={"target": "lab"},
        deadline=120.0,
        max_cost=Decimal("0.05"),
        fallback=("aws-batch",),
        weights={"cost": 2.0, "finish": 0.5},
        avoid={"target": ("here",), "region": ("us-east-1", "us-west-2"), "kind": ("oscar",)},
        residency=("eu",),
        budget={"day": Decimal(5), "month": Decimal(50)},
        shadow="topsis",
    )
    assert document.service("plain").placement == Placement()


def test_the_block_of_the_docs_is_right() -> None:
    page = Path("docs/placement.md").read_text("utf-8")
    block = page.partition("```yaml\n")[2].partition("```")[0].replace("\n", "\n    ")
    text = f"""
functions:
  bridge:
  - name: svc
    image: i
    script: s
    {block}
clusters: {{my-cluster: {{endpoint: https://a}}, old-cluster: {{endpoint: https://b}}}}
"""
    assert only(text).placement.shadow == "topsis"


def test_placement_widens_a_pin() -> None:
    service = load_text(SHAPES / "placed.yaml").service("widened")
    assert (service.pin, service.placement.targets) == ("lab", ("lab", "aws-batch"))
    assert only(aws(beside="placement: {targets: aws-batch}")).placement.targets == ("aws-batch",)


def test_targets_are_declared_or_implied() -> None:
    targets = load_text(SHAPES / "placed.yaml").targets
    assert list(targets) == ["lab", "aws-lambda", "aws-batch", "here", "gpu-box"]
    assert targets["lab"] == TargetSpec("lab", "oscar")
    assert targets["aws-batch"] == TargetSpec("aws-batch", "batch", region="us-east-1")
    assert targets["aws-lambda"] == TargetSpec(
        "aws-lambda", "lambda", region="eu-south-2", arch="arm64", implied=False
    )
    assert targets["gpu-box"] == TargetSpec(
        "gpu-box",
        "kubernetes",
        region="eu-west-1",
        gpu=1,
        cpu=Decimal(16),
        memory=64 * 2**30,
        slots=8,
        cost_per_hour=Decimal("0.02"),
        carbon_per_hour=3.5,
        vos=("biomed",),
        implied=False,
        settings={
            "namespace": "jobs",
            "token": Secret("TOP-SECRET-TOKEN"),
            "endpoint": "https://k8s.example.org",
        },
    )


def test_clusters_are_targets_even_without_services() -> None:
    assert (
        parse(oscar(rest="clusters: {far: {endpoint: https://x}}")).targets["far"].kind == "oscar"
    )


def test_local_is_a_target_only_when_declared() -> None:
    assert "local" not in parse(oscar()).targets
    assert parse(oscar(rest="targets: {local: {}}")).targets["local"].kind == "local"


def test_a_declared_target_says_its_kind() -> None:
    found = problem(oscar(rest="targets: {box: {slots: 2}}"))
    assert (found.path, "kind" in found.message) == ("targets.box", True)


def test_a_gpu_may_be_a_yes() -> None:
    assert parse(oscar(rest="targets: {box: {kind: local, gpu: true}}")).targets["box"].gpu == 1


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ("{targets: [lab, aws-lamda]}", "placement.targets[1]"),
        ("{targets: aws-lamda}", "placement.targets"),
        ("{fallback: [aws-lamda]}", "placement.fallback[0]"),
        ("{prefer: {target: aws-lamda}}", "placement.prefer.target"),
    ],
)
def test_targets_that_are_not_defined(block: str, path: str) -> None:
    found = problem(oscar(f"placement: {block}"))
    assert found.path == f"functions.oscar[0].lab.{path}"
    assert found.hint == "did you mean 'aws-lambda'?"


def test_a_policy_that_is_not_known() -> None:
    found = problem(oscar("placement: {policy: cheepest}"))
    assert found.hint == "did you mean 'cheapest'?"


@pytest.mark.parametrize(
    ("block", "path", "words", "hint"),
    [
        (
            "{weights: {cots: 1}}",
            "weights.cots",
            "'cots' is not a score term",
            "did you mean 'cost'?",
        ),
        (
            "{weights: {cost: 0, run: 0}}",
            "weights",
            "all weights are 0, so nothing would count",
            "",
        ),
        ("{policy: acme.greedy}", "policy", "'acme.greedy' is not installed here", "install"),
        ("{policy: deadline}", "policy", "the policy deadline needs deadline", "write deadline"),
        (
            "{policy: budget}",
            "policy",
            "the policy budget needs max_cost or budget",
            "write max_cost",
        ),
        (
            "{shadow: fastets}",
            "shadow",
            "'fastets' is not one of pinned",
            "did you mean 'fastest'?",
        ),
        ("{avoid: {target: [aws-lamda]}}", "avoid.target[0]", "is not defined", "aws-lambda"),
        ("{budget: {week: 1}}", "budget.week", "unknown key", "known here: day, month"),
    ],
)
def test_a_choice_that_makes_no_sense(block: str, path: str, words: str, hint: str) -> None:
    found = problem(oscar(f"placement: {block}"))
    assert found.path == f"functions.oscar[0].lab.placement.{path}"
    assert words in found.message
    assert hint in found.hint


def test_wrong_amounts_in_a_placement() -> None:
    found = problems(oscar("placement: {deadline: soon, max_cost: 5 EUR, weights: {cost: -1}}"))
    assert [p.path.rpartition(".")[2] for p in found] == ["deadline", "max_cost", "cost"]


def test_connections_of_a_cluster_do_not_belong_to_a_placed_service() -> None:
    text = "functions: {bridge: [{name: svc, image: i, script: s, auth_password: TOP-SECRET}]}"
    found = problem(text)
    assert "unknown key" in found.message
    assert "TOP-SECRET" not in str(found)
