"""The step of one stack: what is deployed against what is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from bridge.deploy import _live
from bridge.deploy._changesets import foresee
from bridge.deploy._masking import Mask
from bridge.deploy._rows import property_rows, resource_rows
from bridge.deploy._stacks import Pace, Stacks, Standing
from bridge.deploy._templates import (
    TemplateDiff,
    compare,
    dependents,
    given_name,
    holds_data,
    resources_of,
)
from bridge.deploy.model import (
    DEPLOYMENT_TAG,
    Change,
    PropertyChange,
    Stack,
    StackStep,
    Template,
)
from bridge.errors import PermanentError
from bridge.targets.aws.account import Account

__all__ = ["Context", "Deployed", "deletion", "look", "stack_step"]

_BY_HAND: Final = "it was deleted by hand, and is made again"
_SAME_NAME: Final = "it keeps its name, so the old one is deleted first"
_OTHER_REGION: Final = "give --region, or deploy it with `cdk deploy`"


@dataclass(frozen=True, slots=True)
class Deployed:
    """A stack as it stands, with its template; `notes` are for the user."""

    standing: Standing | None
    template: Template = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def there(self) -> bool:
        """Whether it can be updated."""
        return self.standing is not None and not self.standing.absent and not self.standing.wrecked


def look(stacks: Stacks, name: str) -> Deployed:
    """A stack with its template, if there is one."""
    found = Deployed(stacks.look(name))
    if not found.there:
        return found
    return replace(found, template=stacks.template(name) or {})


@dataclass(frozen=True, slots=True)
class Context:
    """What all steps of one plan have in common."""

    account: Account
    stacks: Stacks
    deployment: str
    mask: Mask
    pace: Pace


def stack_step(
    context: Context, stack: Stack, deployed: Deployed
) -> tuple[StackStep, tuple[str, ...]]:
    """The step and notes for the user. PermanentError when the stack is not ours to change."""
    region = context.account.region
    if stack.region not in ("", region):
        raise PermanentError(
            f"stack {stack.name} is for {stack.region}, and this is {region}", hint=_OTHER_REGION
        )
    standing = deployed.standing
    _refuse_foreign(stack, standing, context.deployment)
    if not deployed.there:
        return _creation(stack, standing, context.mask), ()
    assert standing is not None
    return _update(context, stack, standing, deployed.template)


def deletion(standing: Standing, template: Template, why: str) -> StackStep:
    """The step that deletes a stack."""
    stack = Stack(standing.name, template, standing.tags)
    rows = tuple(
        Change("resource", "delete", given_name(one) or logical, str(one["Type"]), standing.name)
        for logical, one in resources_of(template).items()
        if one.get("DeletionPolicy") != "Retain"
    )
    return StackStep(stack, "delete", rows, standing.seen, standing.status, why=why)


def _refuse_foreign(stack: Stack, standing: Standing | None, deployment: str) -> None:
    if standing is None or standing.absent:
        return
    if not standing.ours:
        raise PermanentError(
            f"a stack {stack.name} exists that OSCAR Bridge did not make",
            hint="choose another --name or --prefix, or delete that stack",
        )
    other = standing.tags.get(DEPLOYMENT_TAG, "")
    if other and stack.tags.get(DEPLOYMENT_TAG) == deployment and other != deployment:
        raise PermanentError(
            f"stack {stack.name} belongs to the deployment {other}",
            hint="choose another --name",
        )


def _creation(stack: Stack, standing: Standing | None, mask: Mask) -> StackStep:
    diff = compare({}, stack.template)
    rows = tuple(row for _, row in resource_rows(diff, stack.name, mask))
    if standing is None or standing.status == "DELETE_COMPLETE":
        return StackStep(stack, "create", rows)
    why = f"what an earlier try left ({standing.status}) is deleted first"
    return StackStep(stack, "create", rows, standing.seen, standing.status, why=why)


def _update(
    context: Context, stack: Stack, standing: Standing, before: Template
) -> tuple[StackStep, tuple[str, ...]]:
    mask = context.mask
    diff = compare(before, stack.template)
    tags = _tag_rows(standing, stack, mask)
    by_hand, notes = _gone(context, stack, before)
    if not (diff or tags or by_hand or standing.stuck):
        step = StackStep(stack, "none", (), standing.seen, standing.status)
        return step, (*notes, *_quiet(stack, diff))
    calm = bool(diff) and not (standing.moving or standing.stuck)
    foreseen = foresee(context.account, context.stacks, stack, context.pace) if calm else None
    rows = dict(resource_rows(diff, stack.name, mask, foreseen))
    renamed = _keeps_name(stack, before, rows)
    rows |= {name: replace(rows[name], why=_SAME_NAME) for name in renamed}
    rows |= {name: _again(stack, name) for name in sorted(by_hand)}
    step = StackStep(
        stack,
        "update",
        tuple(rows.values()),
        standing.seen,
        standing.status,
        first=tuple(sorted(by_hand | renamed)),
        properties=property_rows(diff.sections, mask) + tags,
        why="its last rollback has failed and is continued first" if standing.stuck else "",
    )
    return step, notes


def _tag_rows(standing: Standing, stack: Stack, mask: Mask) -> tuple[PropertyChange, ...]:
    rows = tuple(
        (f"Tags.{name}", standing.tags.get(name), stack.tags.get(name))
        for name in sorted({*standing.tags, *stack.tags})
        if standing.tags.get(name) != stack.tags.get(name)
    )
    return property_rows(rows, mask)


def _again(stack: Stack, logical: str) -> Change:
    one = resources_of(stack.template)[logical]
    name = given_name(one) or logical
    return Change("resource", "create", name, str(one["Type"]), stack.name, why=_BY_HAND)


def _gone(
    context: Context, stack: Stack, before: Template
) -> tuple[frozenset[str], tuple[str, ...]]:
    """What was deleted by hand and can be made again, and notes on what cannot."""
    wanted = resources_of(stack.template)
    found = _live.gone(context.account, context.stacks.physical(stack.name))
    absent = frozenset(one for one in found if one in wanted and one in resources_of(before))
    kept = sorted(one for one in dependents(before, absent) if holds_data(before, one))
    if not kept:
        return absent, ()
    note = (
        f"stack {stack.name}: {', '.join(sorted(absent))} was deleted by hand, and "
        f"{', '.join(kept)}, which holds data, depends on it; make it again by hand with its name"
    )
    return frozenset(), (note,)


def _keeps_name(stack: Stack, before: Template, rows: Mapping[str, Change]) -> frozenset[str]:
    """Resources that are replaced under the same name, which CloudFormation refuses to do."""
    old, new = resources_of(before), resources_of(stack.template)
    found = frozenset(
        name
        for name, row in rows.items()
        if row.action == "replace"
        and given_name(new.get(name, {}))
        and given_name(new[name]) == given_name(old.get(name, {}))
    )
    kept = sorted(one for one in dependents(before, found) if holds_data(before, one))
    if kept:
        raise PermanentError(
            f"stack {stack.name}: {', '.join(sorted(found))} would have to be deleted and made "
            f"again, and {', '.join(kept)}, which holds data, with it",
            hint="take the change back, or destroy the deployment and apply again",
        )
    return found


def _quiet(stack: Stack, diff: TemplateDiff) -> Iterator[str]:
    for path, _, _ in diff.quiet:
        yield f"stack {stack.name}: {path} differs, and changes with the resource's next change"
