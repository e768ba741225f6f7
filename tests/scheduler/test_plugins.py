"""Filters, terms and policies of another package, which is really installed, in a folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import FdlError, PlacementError
from bridge.fdl import parse
from bridge.scheduler import POLICIES, Snapshot, decide, from_json
from bridge.scheduler import _plugins as plugins
from bridge.scheduler import as_json as stored
from tests.scheduler.make import CLUSTER, FUNCTIONS, placed, refusal, service, snapshot, state

CODE = """
from bridge.scheduler import Passing, Policy, TermKind

def not_at_night(service, offer, state):
    if offer.target == "aws-lambda" and service.name == "quiet":
        return Passing("aws-lambda sleeps")
    return "no" + 1 if service.name == "bad-filter" else ""

def by_name(seen, scale):
    return [(1.0 / len(one.offer.target), len(one.offer.target)) for one in seen]

def broken(seen, scale):
    return [(float("nan"), 0.0) for _ in seen]

def last(columns, shares, seen, scale):
    if scale.service.name == "bad-policy":
        return [1.0]
    return [float(ord(one.offer.target[0])) for one in seen]

short = TermKind("acme.short", "letters", by_name)
nan = TermKind("acme.nan", "letters", broken)
greedy = Policy("acme.greedy", "last by name", {"acme.short": 1.0}, score=last)
wrong = object()
"""
ENTRIES = """
[oscar_bridge.filters]
acme.night = acme_rules:not_at_night

[oscar_bridge.terms]
acme.short = acme_rules:short
acme.nan = acme_rules:nan
cost = acme_rules:short

[oscar_bridge.policies]
acme.greedy = acme_rules:greedy
acme.wrong = acme_rules:wrong
acme.gone = acme_rules:nothing_here
cheapest = acme_rules:greedy
"""


@pytest.fixture(scope="module", autouse=True)
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "acme_rules.py").write_text(CODE)
    about = folder / "acme_rules-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-rules\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRIES)
    sys.path.insert(0, str(folder))
    plugins.forget()
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("acme_rules", None)
    plugins.forget()


NOW = snapshot(state(CLUSTER, run=2.0), state(FUNCTIONS, run=2.0))


def test_a_policy_decides_and_is_replayed() -> None:
    decision = decide(placed(service(), policy="acme.greedy"), None, NOW)
    assert (decision.target, decision.policy) == ("my-cluster", "acme.greedy")
    assert decision.reason.startswith("my-cluster: last by name of 2 that can run it")
    assert from_json(stored(decision)) == decision


def test_a_term_is_weighed_beside_ours() -> None:
    decision = decide(placed(service(), weights={"acme.short": 9.0, "cost": 0.1}), None, NOW)
    raws = {c.offer.target: c.terms[0].raw for c in decision.candidates}
    assert raws == {"my-cluster": 10, "aws-lambda": 10}


def test_a_filter_is_asked_wherever_it_is_installed() -> None:
    decision = decide(service(name="quiet"), None, snapshot(FUNCTIONS))
    assert refusal(decision, "aws-lambda") == ["aws-lambda sleeps"]
    assert decision.waits
    assert decide(service(), None, snapshot(FUNCTIONS)).target == "aws-lambda"


def test_a_filter_that_breaks_is_against_the_target_for_now() -> None:
    decision = decide(service(name="bad-filter"), None, snapshot(FUNCTIONS))
    (said,) = refusal(decision, "aws-lambda")
    assert said.startswith("the filter acme.night of acme-rules broke: TypeError")
    assert decision.waits


def test_nobody_takes_a_name_of_ours() -> None:
    assert decide(service(), None, NOW, policy="cheapest").policy == POLICIES["cheapest"].name
    decision = decide(placed(service(), weights={"cost": 1.0}), None, NOW)
    assert decision.candidates[0].terms[0].unit == "USD"


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("acme.wrong", "the policy acme.wrong of acme-rules is not a Policy"),
        ("acme.gone", "the policy acme.gone of acme-rules cannot be loaded: AttributeError"),
        ("acme.none", "the placement policy acme.none does not exist"),
    ],
)
def test_what_is_installed_and_of_no_use(policy: str, words: str) -> None:
    with pytest.raises(PlacementError, match=words):
        decide(service(), None, NOW, policy=policy)


def test_answers_that_make_no_sense() -> None:
    with pytest.raises(PlacementError, match=r"the score term acme\.nan gave \[\(nan"):
        decide(placed(service(), weights={"acme.nan": 1.0}), None, NOW)
    with pytest.raises(PlacementError, match=r"acme\.greedy gave the scores \[1\.0\]"):
        decide(service(name="bad-policy"), None, NOW, policy="acme.greedy")
    empty = decide(service(name="bad-policy"), None, Snapshot(()), policy="acme.greedy")
    assert not empty.target


def test_the_grammar_knows_what_is_installed() -> None:
    text = "functions: {{bridge: [{{name: s, image: i, script: x, placement: {}}}]}}"
    good = "{policy: acme.greedy, weights: {acme.short: 2}, shadow: acme.wrong}"
    (found,) = parse(text.format(good)).services
    assert (found.placement.policy, found.placement.weights) == ("acme.greedy", {"acme.short": 2})
    with pytest.raises(FdlError) as caught:
        parse(text.format("{policy: acme.none, weights: {acme.none: 1}}"))
    assert [p.path.rpartition("placement.")[2] for p in caught.value.problems] == [
        "policy",
        "weights.acme.none",
    ]


def test_two_packages_with_one_name(acme: Path) -> None:
    other = acme / "other-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[oscar_bridge.policies]\nacme.greedy = a:b\n")
    plugins.forget()
    with pytest.raises(PlacementError, match=r"2 installed packages have the policy acme\.greedy"):
        decide(service(), None, NOW, policy="acme.greedy")


def test_the_command_does_not_look_at_what_is_installed() -> None:
    """Neither its start nor a file with names of ours."""
    code = (
        "import sys, bridge.cli.main, bridge.fdl;"
        "bridge.fdl.parse('functions: {bridge: [{name: s, image: i, script: x,"
        " placement: {policy: cheapest, weights: {cost: 1}}}]}');"
        "sys.exit('importlib.metadata' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
