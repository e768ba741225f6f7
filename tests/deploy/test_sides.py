"""In which order the sides of a deployment are applied and destroyed, and what is whose. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.deploy import OnClusters, Plan, cluster_drift, cluster_sides, joined, last_side
from bridge.deploy._services import DEPLOYMENT
from bridge.deploy.watch import Silent
from bridge.errors import NotFoundError, PermanentError
from bridge.fdl import parse
from bridge.pipeline import build
from bridge.targets.oscar import RemoteService
from bridge.targets.oscar.body import plain

# c1 → a1 → c2 → c3 → a2: a chain that leaves the cluster and comes back twice.
FDL = """
functions:
  oscar:
  - {here: {name: c1, image: i, script: s, input: [{storage_provider: minio, path: mmm/1}],
            output: [{storage_provider: s3, path: bbb/1}]}}
  - {here: {name: c2, image: i, script: s, input: [{storage_provider: minio, path: mmm/2}],
            output: [{storage_provider: minio, path: mmm/3}]}}
  - {there: {name: c3, image: i, script: s, input: [{storage_provider: minio, path: mmm/3}],
             output: [{storage_provider: s3, path: bbb/4}]}}
  aws:
  - lambda: {name: a1, container: {image: i}, init_script: s,
             input: [{storage_provider: s3, path: bbb/1}],
             output: [{storage_provider: minio, path: mmm/2}]}
  - lambda: {name: a2, container: {image: i}, init_script: s,
             input: [{storage_provider: s3, path: bbb/4}]}
"""
ON_AWS = ("a1", "a2")


@dataclass
class Cluster:
    """A client that remembers what it is told, in a list that all share."""

    id: str
    done: list[str]
    there: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def services(self) -> list[RemoteService]:
        return [RemoteService.of(one) for one in self.there.values()]

    def service(self, name: str) -> RemoteService | None:
        return RemoteService.of(self.there[name]) if name in self.there else None

    def create(self, body: Mapping[str, Any], secrets: Sequence[Any]) -> None:
        assert body["name"] not in self.there
        self.update(body, secrets)

    def update(self, body: Mapping[str, Any], secrets: Sequence[Any]) -> None:
        self.there[body["name"]] = plain(body)
        self.done.append(body["name"])

    def retire(self, name: str) -> None:
        del self.there[name]
        self.done.append(f"-{name}")


@dataclass
class World:
    """A deployment on two clusters."""

    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.here, self.far = Cluster("here", self.done), Cluster("there", self.done)

    def wanted(self, text: str = FDL) -> OnClusters:
        document = parse(text, read_script=lambda _: "true\n")
        clusters = {s.name: s.pin for s in document.services if s.origin == "oscar"}
        clients: Any = {"here": self.here, "there": self.far}
        used = {name: clients[name] for name in set(clusters.values())}
        return OnClusters("flow", document, build(document), clusters, used)

    def apply(self, wanted: OnClusters) -> list[str]:
        self.done.clear()
        before, after = cluster_sides(wanted, ON_AWS)
        plans = [side.plan() for side in (before, after)]
        before.apply(plans[0], lambda _: True, Silent())
        self.done.append("AWS")
        after.apply(plans[1], lambda _: True, Silent())
        return self.done


def test_each_stage_is_made_after_those_that_read_what_it_writes() -> None:
    world = World()
    assert world.apply(world.wanted()) == ["c3", "c2", "AWS", "c1"]
    plans = [side.plan() for side in cluster_sides(world.wanted(), ON_AWS)]
    assert all(plan.empty for plan in plans)
    assert not cluster_drift(world.wanted()).drifted


def test_a_deployment_ends_with_those_first_that_others_read_from() -> None:
    world = World()
    world.apply(world.wanted())
    wanted = world.wanted()
    world.done.clear()
    fed = wanted.fed_by(ON_AWS)
    assert fed == {"c2", "c3"}
    for names in (wanted.clusters.keys() - fed, fed):
        side = last_side(wanted, names)
        side.apply(side.plan(), lambda _: True, Silent())
    assert world.done == ["-c1", "-c2", "-c3"]
    assert not last_side(wanted, fed).plan().steps


def test_what_the_file_needs_no_more_goes_last_and_nothing_else() -> None:
    world = World()
    world.apply(world.wanted())
    world.here.there["stranger"] = {"name": "stranger"}
    world.here.there["others"] = {"name": "others", "annotations": {DEPLOYMENT: "other"}}
    text = FDL.replace("name: c1", "name: c0").replace(
        "image: i, script: s, input", "image: j, script: s, input", 1
    )
    assert world.apply(world.wanted(text)) == ["AWS", "c0", "-c1"]
    assert {"stranger", "others"} <= world.here.there.keys()


def test_a_service_of_another_deployment_is_refused_also_when_it_comes_late() -> None:
    world = World()
    _, after = cluster_sides(world.wanted(), ON_AWS)
    plan = after.plan()
    world.here.there["c1"] = {"name": "c1", "annotations": {DEPLOYMENT: "other"}}
    for attempt in (after.plan, lambda: after.apply(plan, lambda _: True, Silent())):
        with pytest.raises(PermanentError, match="belongs to the deployment other"):
            attempt()
    assert world.done == []


def test_a_service_that_nobody_deployed_is_taken_over_and_it_is_said() -> None:
    world = World()
    world.apply(world.wanted())
    world.here.there["c1"] = {**world.here.there["c1"], "annotations": {}}
    (step,) = cluster_sides(world.wanted(), ON_AWS)[1].plan().steps
    (change,) = step.changes
    assert (change.action, change.properties) == ("update", ())
    assert "taken over" in change.why


def test_a_plan_that_means_something_else_is_agreed_to_again() -> None:
    world = World()
    _, after = cluster_sides(world.wanted(), ON_AWS)
    plan = after.plan()
    world.apply(world.wanted())
    asked: list[Plan] = []

    def refuse(new: Plan) -> bool:
        asked.append(new)
        return False

    with pytest.raises(PermanentError, match="not agreed to"):
        after.apply(plan, refuse, Silent())
    assert asked[0].empty


def test_plans_are_shown_as_one() -> None:
    world = World()
    aws = Plan("flow", "base", "1", "eu-west-1", (), notes=("a note",))
    before, after = (side.plan() for side in cluster_sides(world.wanted(), ON_AWS))
    one = joined([before, aws, after])
    assert (one.account, one.clusters) == ("1", ("there", "here"))
    assert [change.name for change in one.changes] == ["c3", "c2", "c1"]
    assert any("a1 runs on AWS and uses minio.default" in note for note in one.notes)
    assert "a note" in one.notes and any("no credentials" in note for note in one.notes)
    empty = Plan("flow", "", "", "", ())
    with pytest.raises(NotFoundError, match="no deployment flow"):
        joined([empty, empty])
