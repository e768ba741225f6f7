"""The sides of a deployment: AWS, and OSCAR clusters. Each plans and applies for itself.

A stage must be there before what it reads is written. So services of clusters that AWS feeds are
made before AWS's side, and the others after it, each after those that read what it writes: when the
first stage takes its first object, all that follows is in place. Services that a file needs no more
go last. A deployment is destroyed the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from bridge.deploy._drift import Drifted, DriftReport
from bridge.deploy._executor import Applied
from bridge.deploy._executor import apply as execute
from bridge.deploy._masking import Mask
from bridge.deploy._secrets import all_secrets
from bridge.deploy._services import (
    carry_out,
    deletion,
    notes_from_aws,
    service_notes,
    service_step,
    stale,
)
from bridge.deploy.model import Plan, PropertyChange, ServiceStep, Step
from bridge.deploy.watch import Watch
from bridge.errors import NotFoundError, PermanentError
from bridge.fdl.model import Document
from bridge.pipeline import Pipeline
from bridge.targets.aws.account import Account
from bridge.targets.oscar import OscarClient, RemoteService

__all__ = [
    "Agree",
    "AwsSide",
    "ClusterSide",
    "OnClusters",
    "Side",
    "cluster_drift",
    "cluster_sides",
    "joined",
    "last_side",
]

Agree = Callable[[Plan], bool]
"""Asked about a plan that was made anew and means something else."""


class Side(Protocol):
    """Some of the places that a deployment is on."""

    def plan(self) -> Plan:
        """What has to be done there; reads only."""
        ...

    def apply(self, plan: Plan, agree: Agree, watch: Watch) -> Applied:
        """Do what a plan says; stopped in the middle, doing it again goes on from there."""
        ...


@dataclass(frozen=True, slots=True)
class AwsSide:
    """One account and region. `make` makes the plan: of a deployment, or of its end."""

    account: Account
    make: Callable[[], Plan]

    def plan(self) -> Plan:
        """See `Side.plan`."""
        return self.make()

    def apply(self, plan: Plan, agree: Agree, watch: Watch) -> Applied:
        """See `bridge.deploy.apply`."""
        return execute(plan, self.account, replan=self.make, agree=agree, watch=watch)


@dataclass(frozen=True, slots=True)
class OnClusters:
    """The services of a document that go to clusters, by name, each with its cluster's name."""

    name: str
    document: Document
    pipeline: Pipeline
    clusters: Mapping[str, str]
    clients: Mapping[str, OscarClient] = field(repr=False)

    def ordered(self) -> list[str]:
        """The services, each after those that read what it writes."""
        return [one.name for one in reversed(self.pipeline.stages) if one.name in self.clusters]

    def fed_by(self, others: Collection[str]) -> frozenset[str]:
        """The services that one of the others comes before, on any way."""
        fed = set(others)
        for stage in self.pipeline.stages:
            writers = {one.writer for one in self.pipeline.edges if one.reader == stage.name}
            fed |= {stage.name} if writers & fed else set()
        return frozenset(self.clusters) & (fed - set(others))


@dataclass(frozen=True, slots=True)
class ClusterSide:
    """Services of clusters. There is no lock: of two who apply at once, the later one wins."""

    name: str
    clients: Mapping[str, OscarClient] = field(repr=False)
    make: Callable[[], Plan]

    def plan(self) -> Plan:
        """See `Side.plan`; one request for each cluster."""
        return self.make()

    def apply(self, plan: Plan, agree: Agree, watch: Watch) -> Applied:
        """See `Side.apply`."""
        now = self.make()
        if now.differs(plan) and not agree(now):
            raise PermanentError("the new plan was not agreed to; nothing was changed there")
        for step in now.steps:
            if isinstance(step, ServiceStep) and step.action != "none":
                watch.step(f"service {step.name} on cluster {step.cluster}: {step.action}")
                carry_out(self.clients[step.cluster], step, self.name)
        return Applied(now)


def cluster_sides(wanted: OnClusters, on_aws: Collection[str]) -> tuple[ClusterSide, ClusterSide]:
    """What is done on clusters before AWS's side, and after it."""
    others = [name for name in on_aws if name not in wanted.clusters]
    fed = wanted.fed_by(others)
    first = [name for name in wanted.ordered() if name in fed]
    then = [name for name in wanted.ordered() if name not in fed]
    return (
        ClusterSide(wanted.name, wanted.clients, lambda: _first(wanted, first)),
        ClusterSide(wanted.name, wanted.clients, lambda: _last(wanted, then, others)),
    )


def _last(wanted: OnClusters, names: Sequence[str], on_aws: Sequence[str]) -> Plan:
    """With what is not needed any more, and what AWS's services lack of the clusters'."""
    listed = {name: client.services() for name, client in sorted(wanted.clients.items())}
    plan = _plan(wanted, names, listed)
    document = wanted.document
    lone = len(wanted.clients) == 1
    notes = (
        note
        for name in on_aws
        for note in notes_from_aws(document.service(name), document, lone=lone)
    )
    return replace(plan, steps=(*plan.steps, *_stale(wanted, listed)), notes=(*plan.notes, *notes))


def _first(wanted: OnClusters, names: Sequence[str]) -> Plan:
    asked = sorted({wanted.clusters[name] for name in names})
    return _plan(wanted, names, {one: wanted.clients[one].services() for one in asked})


def _plan(
    wanted: OnClusters, names: Sequence[str], listed: Mapping[str, Sequence[RemoteService]]
) -> Plan:
    document, mask = wanted.document, Mask(all_secrets(wanted.document))
    steps: list[Step] = []
    notes: list[str] = []
    for name in names:
        cluster, service = wanted.clusters[name], document.service(name)
        there = next((one for one in listed[cluster] if one.name == name), None)
        step = service_step(wanted.name, cluster, service, document, there=there, mask=mask)
        steps.append(step)
        notes += service_notes(step, service, document, there)
    return Plan(wanted.name, "", "", "", tuple(steps), tuple(notes))


def _stale(
    wanted: OnClusters, listed: Mapping[str, Sequence[RemoteService]]
) -> Iterator[ServiceStep]:
    for cluster, services in listed.items():
        kept = [name for name, on in wanted.clusters.items() if on == cluster]
        yield from stale(wanted.name, cluster, services, kept)


def last_side(wanted: OnClusters, names: Collection[str]) -> ClusterSide:
    """The end of these services of a deployment, first those that others read from."""

    def make() -> Plan:
        asked = sorted({wanted.clusters[name] for name in names})
        listed = {cluster: wanted.clients[cluster].services() for cluster in asked}
        steps: list[Step] = []
        notes: list[str] = []
        for name in reversed(wanted.ordered()):
            cluster = wanted.clusters[name]
            if name in names:
                step, said = deletion(wanted.name, cluster, name, listed[cluster])
                steps += [step] if step else []
                notes += said
        return Plan(wanted.name, "", "", "", tuple(steps), tuple(notes))

    return ClusterSide(wanted.name, wanted.clients, make)


def joined(plans: Sequence[Plan]) -> Plan:
    """One plan to be shown: the steps of all, in their order."""
    if not any(plan.steps or plan.account for plan in plans):
        raise NotFoundError(f"there is no deployment {plans[0].name}")
    aws = next((plan for plan in plans if plan.account), plans[0])
    return Plan(
        name=aws.name,
        base=aws.base,
        account=aws.account,
        region=aws.region,
        steps=tuple(step for plan in plans for step in plan.steps),
        notes=tuple(dict.fromkeys(note for plan in plans for note in plan.notes)),
    )


def cluster_drift(wanted: OnClusters) -> DriftReport:
    """The services that are not as the file says: a cluster does not remember what was deployed."""
    steps = [one for side in cluster_sides(wanted, ()) for one in side.plan().steps]
    return DriftReport(
        tuple(sorted(wanted.clients)),
        tuple(
            Drifted(
                stack=step.cluster,
                logical=step.name,
                type="OSCAR::Service",
                name=step.name,
                state="deleted" if step.action == "create" else "modified",
                properties=tuple(
                    PropertyChange(one.path, one.after, one.before) for one in step.properties
                ),
            )
            for step in steps
            if isinstance(step, ServiceStep) and step.action in ("create", "update")
        ),
    )
