"""The end of a deployment, planned: its stacks and secrets, and the base when nobody needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bridge.deploy._secrets import secret_of
from bridge.deploy._stackplan import deletion, look
from bridge.deploy._stacks import Pace, Stacks, Standing
from bridge.deploy._templates import given_name, resources_of, services_of
from bridge.deploy.model import DEPLOYMENT_TAG, Plan, SecretStep, StackStep
from bridge.deploy.watch import Silent
from bridge.errors import NotFoundError
from bridge.targets.aws.account import Account

__all__ = ["destruction"]


def destruction(
    name: str, account: Account, *, everything: bool = False, pace: Pace | None = None
) -> Plan:
    """A plan that deletes a deployment; with `everything` the base too, when it is the last one.

    What the templates retain stays: buckets and tables with data. NotFoundError when there is
    nothing to delete.
    """
    base = account.settings.name
    stacks = Stacks(account, Silent(), pace=pace or Pace())
    ours = [one for one in stacks.all() if _is_of(one, base)]
    mine = [one for one in ours if one.name != base and _deployment(one) == name]
    others = sorted({_deployment(one) or one.name for one in ours if one.name != base} - {name})
    wanted = [*reversed(mine)]
    notes: list[str] = []
    if everything and others:
        notes.append(f"the base stack {base} stays: {', '.join(others)} needs it")
    elif everything:
        wanted += [one for one in ours if one.name == base]
    if not wanted:
        there = f"there are: {', '.join(others)}" if others else "nothing is deployed"
        raise NotFoundError(f"there is no deployment {name} in {account.region}", hint=there)
    steps = [
        deletion(one, look(stacks, one.name).template or _broken(stacks, one), "") for one in wanted
    ]
    for step in steps:
        notes += _kept(step)
    return Plan(
        name=name,
        base=base,
        account=account.id,
        region=account.region,
        steps=(*steps, *_secrets(account, steps)),
        notes=tuple(notes),
    )


def _deployment(standing: Standing) -> str:
    return standing.tags.get(DEPLOYMENT_TAG, "")


def _is_of(standing: Standing, base: str) -> bool:
    return standing.name == base or standing.name.startswith(f"{base}-")


def _broken(stacks: Stacks, standing: Standing) -> Mapping[str, object]:
    """The template of a stack that was never finished, which still has a secret or a bucket."""
    return stacks.template(standing.name) or {}


def _secrets(account: Account, steps: list[StackStep]) -> Iterator[SecretStep]:
    for step in steps:
        for service in services_of(step.stack.template, account.settings.name):
            if name := secret_of(account, service):
                yield SecretStep(name, {}, "delete", why="it can be restored for 7 days")


def _kept(step: StackStep) -> Iterator[str]:
    for logical, one in resources_of(step.stack.template).items():
        if one.get("DeletionPolicy") == "Retain" and not str(one["Type"]).endswith("Policy"):
            kind = str(one["Type"]).removeprefix("AWS::").replace("::", " ")
            yield f"{kind} {given_name(one) or logical} stays, with what it holds"
