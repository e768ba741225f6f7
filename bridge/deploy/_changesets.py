"""What CloudFormation itself says a change would do: a change set that is never executed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

from bridge.deploy._faults import asked, unknown_to_endpoint
from bridge.deploy._stacks import Pace, Stacks
from bridge.deploy.model import Stack
from bridge.errors import AccessError, BridgeError
from bridge.targets.aws.account import Account

__all__ = ["Foreseen", "foresee"]

_WORKING: Final = ("CREATE_PENDING", "CREATE_IN_PROGRESS")

Replaced = Literal["True", "False", "Conditional"]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What will happen to one resource. `always` and `perhaps` are properties that replace it."""

    action: str
    type: str
    replaced: Replaced
    always: frozenset[str]
    perhaps: frozenset[str]
    cause: str = ""


def foresee(
    account: Account, stacks: Stacks, stack: Stack, pace: Pace
) -> Mapping[str, Foreseen] | None:
    """What an update of the stack would do, by logical id.

    None where it cannot be known: the endpoint has no change sets, the caller may not make one, or
    CloudFormation could not make this one.
    """
    name = f"oscar-bridge-plan-{uuid.uuid4().hex[:16]}"
    client = account.client("cloudformation")
    try:
        with _made(account, stacks, stack, name):
            found = _wait(account, client, stack, name, pace)
            if found["Status"] != "CREATE_COMPLETE":
                return None
            return dict(_changes(account, client, stack, name))
    except AccessError:
        return None
    except BridgeError as error:
        if error.__cause__ is not None and unknown_to_endpoint(error.__cause__):
            return None
        raise


@contextmanager
def _made(account: Account, stacks: Stacks, stack: Stack, name: str) -> Iterator[None]:
    """The change set, for as long as the block lasts."""
    client = account.client("cloudformation")
    with asked(account, "cloudformation", f"change set of stack {stack.name}"):
        client.create_change_set(
            StackName=stack.name,
            ChangeSetName=name,
            ChangeSetType="UPDATE",
            **stacks.template_argument(stack.template),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            Tags=[{"Key": key, "Value": value} for key, value in sorted(stack.tags.items())],
        )
    try:
        yield
    finally:
        # One that stays is no harm: the next change of the stack makes it obsolete.
        with suppress(BridgeError), asked(account, "cloudformation", f"change set {name}"):
            client.delete_change_set(StackName=stack.name, ChangeSetName=name)


def _wait(account: Account, client: Any, stack: Stack, name: str, pace: Pace) -> Mapping[str, Any]:
    found: Mapping[str, Any] = {"Status": "FAILED"}
    for _ in pace.beats():
        with asked(account, "cloudformation", f"change set of stack {stack.name}"):
            found = client.describe_change_set(StackName=stack.name, ChangeSetName=name)
        if found["Status"] not in _WORKING:
            break
    return found


def _changes(
    account: Account, client: Any, stack: Stack, name: str
) -> Iterator[tuple[str, Foreseen]]:
    with asked(account, "cloudformation", f"change set of stack {stack.name}"):
        pages = client.get_paginator("describe_change_set").paginate(
            StackName=stack.name, ChangeSetName=name
        )
        for page in pages:
            for one in page["Changes"]:
                if (change := one.get("ResourceChange")) is not None:
                    yield change["LogicalResourceId"], _foreseen(change)


def _foreseen(change: Mapping[str, Any]) -> Foreseen:
    details = [one for one in change.get("Details", ()) if one.get("Target", {}).get("Name")]
    causes = sorted({one["CausingEntity"] for one in details if one.get("CausingEntity")})
    return Foreseen(
        action=change["Action"],
        type=change.get("ResourceType", ""),
        replaced=change.get("Replacement", "False"),
        always=_named(details, "Always"),
        perhaps=_named(details, "Conditionally"),
        cause=", ".join(causes),
    )


def _named(details: list[Mapping[str, Any]], word: str) -> frozenset[str]:
    found = (one["Target"] for one in details)
    return frozenset(one["Name"] for one in found if one.get("RequiresRecreation") == word)
