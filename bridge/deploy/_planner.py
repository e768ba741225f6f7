"""What is wanted, less what is there: a `Plan`. Reads, and change sets that are deleted again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from bridge.deploy import _live
from bridge.deploy._assets import missing_assets
from bridge.deploy._faults import asked
from bridge.deploy._images import Images, image_steps, service_images
from bridge.deploy._masking import Mask
from bridge.deploy._secrets import all_secrets, secret_steps
from bridge.deploy._stackplan import Context, Deployed, deletion, look, stack_step
from bridge.deploy._stacks import Pace, StackMoved, Stacks, Standing
from bridge.deploy._templates import given_name, holds_data, resources_of, services_of
from bridge.deploy.model import (
    DEPLOYMENT_TAG,
    Assembly,
    BucketStep,
    Plan,
    StackStep,
    Step,
    is_ours,
)
from bridge.deploy.watch import Silent
from bridge.errors import NotFoundError, PermanentError, TargetUnavailable
from bridge.targets.aws.account import Account

__all__ = ["plan"]

Named = tuple[str, str]
"""A type of CloudFormation and the name of a thing of it."""

# A second one under the same name is a new revision, and no clash.
_REVISED: Final = "AWS::Batch::JobDefinition"
_TRIES: Final = 5


def plan(
    assembly: Assembly,
    account: Account,
    *,
    pace: Pace | None = None,
    images: Images = service_images,
) -> Plan:
    """What has to be done so that the account has what the assembly says.

    PermanentError when a name is taken by something that is not ours to change; AccessError with
    the permission that is missing; what `translated` raises.
    """
    pace = pace or Pace()
    spool = assembly.own_assets or next((a.bucket for s in assembly.stacks for a in s.assets), "")
    stacks = Stacks(account, Silent(), spool=spool, pace=pace)
    for _ in range(_TRIES):
        try:
            return _plan(assembly, account, stacks, pace, images)
        except StackMoved:
            for stack in assembly.stacks:
                stacks.rest(stack.name)
    raise TargetUnavailable(f"others keep changing the stacks of {assembly.name}")


def _plan(assembly: Assembly, account: Account, stacks: Stacks, pace: Pace, images: Images) -> Plan:
    mask = Mask(all_secrets(assembly.document) if assembly.document else ())
    wanted = {stack.name for stack in assembly.stacks}
    stale = [
        deletion(one, look(stacks, one.name).template, "the file needs it no more")
        for one in _of_deployment(stacks, assembly.name)
        if one.name not in wanted
    ]
    deployed = {name: look(stacks, name) for name in wanted}
    asked_for = Context(account, stacks, assembly.name, mask, pace)
    steps: list[StackStep] = []
    notes: list[str] = []
    for stack in assembly.stacks:
        step, said = stack_step(asked_for, stack, deployed[stack.name])
        steps.append(step)
        notes += said
    steps = _without_clashes(account, stacks, steps, stale, deployed)
    return Plan(
        name=assembly.name,
        base=assembly.base,
        account=account.id,
        region=account.region,
        steps=(
            *_buckets(account, assembly, steps),
            *_prepared(account, assembly, steps, images),
            *stale,
            *steps,
        ),
        notes=(*assembly.notes, *notes),
        spool=stacks.spool,
    )


def _of_deployment(stacks: Stacks, name: str) -> list[Standing]:
    return [one for one in stacks.all() if one.tags.get(DEPLOYMENT_TAG) == name]


def _buckets(account: Account, assembly: Assembly, steps: list[StackStep]) -> Iterator[BucketStep]:
    name = assembly.own_assets
    if not name or all(step.action == "none" for step in steps):
        return
    try:
        with asked(account, "s3", f"bucket {name}"):
            account.client("s3").head_bucket(Bucket=name)
    except NotFoundError:
        yield BucketStep(name)


def _prepared(
    account: Account, assembly: Assembly, steps: list[StackStep], images: Images
) -> Iterator[Step]:
    """What has to be there before the stacks: images, secrets, files."""
    changed = [step.stack for step in steps if step.action != "none"]
    services = [
        name for stack in assembly.stacks for name in services_of(stack.template, assembly.base)
    ]
    if changed:
        yield from image_steps(account, assembly, services, images)
    if assembly.document is not None:
        yield from secret_steps(account, assembly.document, services, assembly.name)
    yield from missing_assets(account, (one for stack in changed for one in stack.assets))


def _without_clashes(
    account: Account,
    stacks: Stacks,
    steps: list[StackStep],
    stale: list[StackStep],
    deployed: Mapping[str, Deployed],
) -> list[StackStep]:
    """The steps, after a look at whether the names of what they make are free.

    A name that another stack of the deployment gives up is taken out of that one first.
    """
    wanted = {one for step in steps for one in _new_names(step, deployed)}
    found = _live.existing(account, sorted(wanted))
    leaving = {one for step in stale for one in _names(step.stack.template)}
    holders = {
        one: (step.stack.name, logical)
        for step in steps
        for logical, one in _named(deployed[step.stack.name].template)
    }
    refused = [
        _refusal(one, tags)
        for one, tags in found.items()
        if one not in leaving and one not in holders and _is_taken(one, tags)
    ]
    if refused and _moved_on(stacks, deployed):
        raise StackMoved("somebody else is deploying the same")
    if refused:
        raise PermanentError("\n".join(refused), hint=_REMEDY)
    moved = _moved(steps, holders, deployed)
    return [
        replace(step, first=tuple(sorted({*step.first, *moved.get(step.stack.name, ())})))
        for step in steps
    ]


def _moved_on(stacks: Stacks, deployed: Mapping[str, Deployed]) -> bool:
    """Whether a stack is not any more as the plan saw it."""
    for name, one in deployed.items():
        now = stacks.look(name)
        if (now and now.seen) != (one.standing and one.standing.seen):
            return True
    return False


def _moved(
    steps: list[StackStep],
    holders: Mapping[Named, tuple[str, str]],
    deployed: Mapping[str, Deployed],
) -> Mapping[str, set[str]]:
    """By stack, the logical ids whose names another resource is to have."""
    found: dict[str, set[str]] = {}
    for step in steps:
        for logical, one in _named(step.stack.template):
            stack, old = holders.get(one, (step.stack.name, logical))
            if (stack, old) == (step.stack.name, logical):
                continue
            if holds_data(deployed[stack].template, old):
                raise PermanentError(
                    f"{one[1]}, which holds data, would move from {old} of stack {stack} to "
                    f"{logical} of stack {step.stack.name}",
                    hint="import it there with the CDK: `cdk import`",
                )
            found.setdefault(stack, set()).add(old)
    return found


_REMEDY: Final = (
    "give the service another name, or delete that thing, or `oscar-bridge destroy` the deployment "
    "that it belongs to"
)


def _is_taken(one: Named, tags: _live.Tags) -> bool:
    return not (one[0] == _REVISED and is_ours(tags))


def _refusal(one: Named, tags: _live.Tags) -> str:
    kind, name = one
    words = kind.removeprefix("AWS::").replace("::", " ")
    other = tags.get(DEPLOYMENT_TAG)
    if is_ours(tags) and other:
        return f"{words} {name} exists already: it belongs to the deployment {other}"
    owner = tags.get("aws:cloudformation:stack-name")
    whose = f"it belongs to the stack {owner}" if owner else "OSCAR Bridge did not make it"
    return f"{words} {name} exists already: {whose}"


def _new_names(step: StackStep, deployed: Mapping[str, Deployed]) -> Iterator[Named]:
    """The names that a step makes and that its stack does not hold yet."""
    held = set(_names(deployed[step.stack.name].template))
    if step.action in ("create", "update"):
        yield from (one for one in _names(step.stack.template) if one not in held)


def _names(template: Mapping[str, object]) -> Iterable[Named]:
    return [one for _, one in _named(template)]


def _named(template: Mapping[str, object]) -> Iterator[tuple[str, Named]]:
    for logical, one in resources_of(template).items():
        if name := given_name(one):
            yield logical, (str(one["Type"]), name)
