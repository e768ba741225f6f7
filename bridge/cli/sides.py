"""Which sides the deployment of a file has: AWS, OSCAR clusters, or both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bridge.errors import NotFoundError, UsageError
from bridge.scheduler import Decision

if TYPE_CHECKING:
    from bridge.deploy import AwsSide, OnClusters, Plan, Settings, Side
    from bridge.fdl.model import Document
    from bridge.pipeline import Pipeline
    from bridge.targets.aws import Account

__all__ = [
    "Parts",
    "aws_side",
    "ends_of",
    "on_clusters",
    "parts_of",
    "patient",
    "settings_of",
    "sides_of",
]

_AWS: Final = frozenset({"lambda", "batch"})
_DIRECT: Final = frozenset({"kubernetes", "knative"})


@dataclass(frozen=True, slots=True)
class Parts:
    """The services of a file by where they go: those that may run on AWS, and those on clusters
    with the cluster's name. `direct` are told apart from both: only a manager serves them."""

    document: Document
    pipeline: Pipeline
    on_aws: tuple[str, ...]
    clusters: Mapping[str, str]
    direct: Mapping[str, str]

    def check(self) -> None:
        """UsageError for a service that no command can deploy."""
        for service, target in self.direct.items():
            raise UsageError(
                f"service {service} would run on the target {target}, a Kubernetes cluster "
                "without a manager, to which nothing can be applied",
                hint="start the manager (`oscar-bridge up --cluster`, or the Helm chart), and "
                "name it under `clusters:` instead",
            )


def parts_of(document: Document, pipeline: Pipeline, decisions: Sequence[Decision]) -> Parts:
    """The parts of a file, by what was decided of its services."""
    kinds = {one.service: document.targets[one.target].kind for one in decisions if one.target}
    aws = tuple(one.service for one in decisions if _may_run(one, _AWS))
    return Parts(
        document,
        pipeline,
        on_aws=aws,
        clusters={d.service: d.target for d in decisions if kinds.get(d.service) == "oscar"},
        direct={
            d.service: d.target
            for d in decisions
            if kinds.get(d.service) in _DIRECT and d.service not in aws
        },
    )


def _may_run(decision: Decision, kinds: frozenset[str]) -> bool:
    return any(one.offer.feasible and one.offer.kind in kinds for one in decision.candidates)


def settings_of(options: Mapping[str, Any]) -> Settings:
    """The settings that a command was given."""
    from bridge.deploy import Settings

    return Settings(
        name=options["name"],
        images=options["images"] or "",
        policy=options["policy"],
        stacks=options["stacks"] or 0,
    )


def patient(account: Account) -> Account:
    """The same account, which is not put off by throttling; the first call to AWS is made here."""
    from bridge.targets.aws import Account

    account.id  # noqa: B018  (quick to fail, before anything is patient)
    return Account(replace(account.settings, patient=True))


@contextmanager
def aws_side(
    path: Path, document: Document, account: Account, settings: Settings
) -> Iterator[AwsSide]:
    """AWS's side of a file: its stacks are made once, and compared whenever a plan is."""
    from bridge.deploy import AwsSide, plan, synth

    willing = patient(account)
    with synth(path, document, willing, settings) as assembly:
        yield AwsSide(willing, lambda: plan(assembly, willing))


@contextmanager
def on_clusters(parts: Parts, name: str) -> Iterator[OnClusters]:
    """The clusters' part of a deployment, with a client for each of them."""
    from bridge.deploy import OnClusters
    from bridge.targets.oscar import OscarClient, access_in

    with ExitStack() as stack:
        clients = {}
        for cluster in dict.fromkeys(parts.clusters.values()):
            clients[cluster] = client = OscarClient(access_in(parts.document, cluster))
            stack.callback(client.close)
        yield OnClusters(name, parts.document, parts.pipeline, parts.clusters, clients)


@contextmanager
def sides_of(
    path: Path, parts: Parts, options: Mapping[str, Any], account: Callable[[], Account]
) -> Iterator[list[Side]]:
    """The sides of a file in the order in which they are applied. See `bridge.deploy.sides`."""
    from bridge.deploy import cluster_sides, deployment_name, reaching

    settings = settings_of(options)
    with ExitStack() as stack:
        wanted = stack.enter_context(on_clusters(parts, deployment_name(path, settings.name)))
        sides: list[Side] = []
        if parts.on_aws:
            document = reaching(parts.document, parts.on_aws, wanted.clients)
            aws = aws_side(path, document, account(), settings)
            sides.append(stack.enter_context(aws))
        if parts.clusters:
            before, after = cluster_sides(wanted, parts.on_aws)
            sides = [before, *sides, after]
        yield sides


@contextmanager
def ends_of(
    name: str, parts: Parts | None, account: Callable[[], Account], *, everything: bool
) -> Iterator[list[Side]]:
    """The sides of a deployment in the order in which they are destroyed.

    Without `parts` there is no file to say more, and it is AWS's that is meant.
    """
    from bridge.deploy import AwsSide, destruction, last_side

    with ExitStack() as stack:
        sides: list[Side] = []
        if parts is None or parts.on_aws or not parts.clusters:
            willing = patient(account())
            make = lambda: destruction(name, willing, everything=everything)  # noqa: E731
            lenient = parts is not None and bool(parts.clusters)
            sides.append(AwsSide(willing, _or_nothing(make, name, willing) if lenient else make))
        if parts is not None and parts.clusters:
            wanted = stack.enter_context(on_clusters(parts, name))
            fed = wanted.fed_by(set(parts.on_aws) - parts.clusters.keys())
            first = last_side(wanted, parts.clusters.keys() - fed)
            sides = [first, *sides, last_side(wanted, fed)]
        yield sides


def _or_nothing(make: Callable[[], Plan], name: str, account: Account) -> Callable[[], Plan]:
    """A plan that is empty where nothing is deployed: another side may have something."""
    from bridge.deploy import Plan

    def plan() -> Plan:
        try:
            return make()
        except NotFoundError as error:
            return Plan(name, "", "", "", (), (error.message,))

    return plan
