"""CloudFormation's stacks: looked at, changed, and followed until they rest."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from bridge.deploy._events import failure_of, line_of
from bridge.deploy._faults import asked, code_of, denial
from bridge.deploy.model import OWNER_TAG, Stack, Template
from bridge.deploy.watch import Watch
from bridge.errors import AccessError, BridgeError, PermanentError, TargetUnavailable
from bridge.targets.aws.account import Account

__all__ = ["Pace", "StackMoved", "Stacks", "Standing", "split_template"]

_INLINE: Final = 51_200  # bytes of a template in a request; CloudFormation quotas, 2026-11-01
_CAPABILITIES: Final = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
_ABSENT: Final = frozenset({"REVIEW_IN_PROGRESS", "DELETE_COMPLETE"})
# A creation that failed: what is left can only be deleted.
_FAILED_CREATION: Final = frozenset(
    {"CREATE_FAILED", "DELETE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}
)
_PAGES: Final = 20
_EPOCH: Final = datetime.min.replace(tzinfo=UTC)


class StackMoved(TargetUnavailable):
    """Somebody else changes the stack right now."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two looks: from `first`, growing to `last`. `patience` bounds a wait."""

    first: float = 0.2
    last: float = 4.0
    patience: float = 4 * 3600.0
    sleep: Callable[[float], None] = time.sleep

    def beats(self) -> Iterator[None]:
        """One per look, until patience is over."""
        gap, end = self.first, time.monotonic() + self.patience
        while time.monotonic() < end:
            yield
            self.sleep(gap)
            gap = min(gap * 1.5, self.last)


@dataclass(frozen=True, slots=True)
class Standing:
    """A stack as it stands."""

    name: str
    id: str
    status: str
    reason: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    updated: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def seen(self) -> str:
        """What tells this state of the stack from a later one."""
        return f"{self.id}|{self.updated}|{self.status}"

    @property
    def moving(self) -> bool:
        """Whether an operation is under way."""
        return self.status.endswith("_IN_PROGRESS") and not self.absent

    @property
    def absent(self) -> bool:
        """Whether nothing of it was ever made, or is left."""
        return self.status in _ABSENT

    @property
    def wrecked(self) -> bool:
        """Whether it can only be deleted."""
        return self.status in _FAILED_CREATION

    @property
    def stuck(self) -> bool:
        """Whether a rollback has stopped half-way and must be continued first."""
        return self.status == "UPDATE_ROLLBACK_FAILED"

    @property
    def ours(self) -> bool:
        """Whether it has our tag."""
        return self.tags.get(OWNER_TAG[0]) == OWNER_TAG[1]


class Stacks:
    """The stacks of one account and region. `spool` is a bucket for templates that are large."""

    def __init__(self, account: Account, watch: Watch, *, spool: str = "", pace: Pace) -> None:
        self._account = account
        self._watch = watch
        self.spool = spool
        self._pace = pace
        self._cfn = account.client("cloudformation")

    def look(self, name: str) -> Standing | None:
        """A stack by name or id; None when there is none."""
        try:
            with asked(self._account, "cloudformation", f"stack {name}"):
                found = self._cfn.describe_stacks(StackName=name)["Stacks"]
        except PermanentError as error:
            if code_of(error.__cause__ or error) == "ValidationError" and _says_absent(error):
                return None
            raise
        return _standing(found[0]) if found else None

    def all(self) -> list[Standing]:
        """Every stack of ours that is there."""
        with asked(self._account, "cloudformation", "the list of stacks"):
            pages = self._cfn.get_paginator("describe_stacks").paginate()
            found = [_standing(one) for page in pages for one in page["Stacks"]]
        return [one for one in found if one.ours and not one.absent]

    def template(self, name: str) -> Template | None:
        """What was deployed last; None when it is not JSON, so that it is none of ours."""
        with asked(self._account, "cloudformation", f"template of stack {name}"):
            found = self._cfn.get_template(StackName=name, TemplateStage="Original")
        body = found["TemplateBody"]
        return dict(body) if isinstance(body, Mapping) else None

    def physical(self, name: str) -> dict[str, tuple[str, str, str]]:
        """Type, physical id and status of each resource by logical id."""
        with asked(self._account, "cloudformation", f"resources of stack {name}"):
            pages = self._cfn.get_paginator("list_stack_resources").paginate(StackName=name)
            return {
                one["LogicalResourceId"]: (
                    one["ResourceType"],
                    one.get("PhysicalResourceId", ""),
                    one["ResourceStatus"],
                )
                for page in pages
                for one in page["StackResourceSummaries"]
            }

    def rest(self, name: str) -> bool:
        """Wait until nobody changes the stack; whether there was anything to wait for."""
        waited = False
        for _ in self._pace.beats():
            found = self.look(name)
            if found is None or not found.moving:
                return waited
            if not waited:
                doing = found.status.removesuffix("_IN_PROGRESS").replace("_", " ").lower()
                self._watch.note(f"stack {name} is being changed ({doing}); waiting for it")
            waited = True
        raise TargetUnavailable(f"stack {name} is still being changed")

    def create(self, stack: Stack) -> None:
        """Create it and wait; PermanentError says which resource failed and why."""
        token, begun = _token("create"), _now()
        with self._races(stack.name):
            made = self._cfn.create_stack(
                StackName=stack.name,
                **self.template_argument(stack.template),
                Capabilities=list(_CAPABILITIES),
                Tags=_tags(stack.tags),
                ClientRequestToken=token,
                EnableTerminationProtection=stack.protected,
            )
        self._follow(made["StackId"], stack.name, token, begun)

    def update(self, stack: Stack, template: Template | None = None) -> None:
        """Bring it to its template, or another one, and wait."""
        token, begun = _token("update"), _now()
        try:
            with self._races(stack.name):
                made = self._cfn.update_stack(
                    StackName=stack.name,
                    **self.template_argument(template or stack.template),
                    Capabilities=list(_CAPABILITIES),
                    Tags=_tags(stack.tags),
                    ClientRequestToken=token,
                )
        except PermanentError as error:
            if "No updates are to be performed" not in error.message:
                raise
            return
        self._follow(made["StackId"], stack.name, token, begun)

    def delete(self, name: str) -> None:
        """Delete it and wait; nothing when it is not there."""
        found = self.look(name)
        if found is None or found.status == "DELETE_COMPLETE":
            return
        token, begun = _token("delete"), _now()
        with self._races(name):
            self._cfn.delete_stack(StackName=found.id, ClientRequestToken=token)
        self._follow(found.id, name, token, begun)

    def unstick(self, name: str) -> None:
        """Continue a rollback that has failed; a clear instruction when that fails again."""
        token, begun = _token("continue"), _now()
        self._watch.note(f"the last rollback of stack {name} has failed; continuing it")
        with self._races(name):
            self._cfn.continue_update_rollback(StackName=name, ClientRequestToken=token)
        found = self.look(name)
        self._follow(found.id if found else name, name, token, begun, rolling=True)

    def template_argument(self, template: Template) -> dict[str, str]:
        """The template as requests take it: within, or by URL when it is large."""
        body, large = split_template(template)
        if not large:
            return {"TemplateBody": body}
        bucket = self.spool or self._account.bucket
        key = f"deployments/templates/{hashlib.sha256(body.encode()).hexdigest()[:32]}.json"
        s3 = self._account.client("s3")
        with asked(self._account, "s3", f"s3://{bucket}/{key}"):
            s3.put_object(Bucket=bucket, Key=key, Body=body.encode())
            where = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
        return {"TemplateURL": str(where).partition("?")[0]}

    def _races(self, name: str) -> Any:
        return _races(self._account, name)

    def _follow(
        self, stack: str, name: str, token: str, begun: datetime, *, rolling: bool = False
    ) -> None:
        """Tell each event of an operation, until the stack rests; its failure as an error."""
        told: dict[str, Mapping[str, Any]] = {}
        for _ in self._pace.beats():
            found = self.look(stack)
            for event in self._news(stack, token, begun, told):
                self._watch.event(line_of(event, name))
            if found is None or not found.status.endswith("_IN_PROGRESS"):
                break
        else:
            raise TargetUnavailable(f"stack {name} is still at work")
        if found is not None and not _good(found.status, rolling=rolling):
            raise _failed(name, found, [*told.values(), *self._validation(stack, told.values())])

    def _validation(
        self, stack: str, events: Iterable[Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """What early validation refused, as events; CloudFormation keeps it in another list."""
        if not any("DescribeEvents" in str(one.get("ResourceStatusReason")) for one in events):
            return []
        try:
            with asked(self._account, "cloudformation", f"events of stack {stack}"):
                found = self._cfn.describe_events(StackName=stack).get("OperationEvents", ())
        except BridgeError:
            return []  # the failure itself is told, without its details
        return [
            {
                "ResourceStatus": "CREATE_FAILED",
                "ResourceStatusReason": one["ValidationStatusReason"],
                "LogicalResourceId": one.get("LogicalResourceId", "?"),
                "PhysicalResourceId": one.get("PhysicalResourceId", ""),
                "ResourceType": one.get("ResourceType", ""),
                "Timestamp": one["Timestamp"],
            }
            for one in found
            if one.get("ValidationStatusReason")
        ]

    def _news(
        self, stack: str, token: str, begun: datetime, told: dict[str, Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """The events that were not told yet, oldest first."""
        with asked(self._account, "cloudformation", f"events of stack {stack}"):
            pages = self._cfn.get_paginator("describe_stack_events").paginate(StackName=stack)
            found: list[Mapping[str, Any]] = []
            for _, page in zip(range(_PAGES), pages, strict=False):
                found += page["StackEvents"]
                if any(_is_older(one, begun) or one["EventId"] in told for one in found):
                    break
        new = [
            one
            for one in found
            if one["EventId"] not in told
            and (one.get("ClientRequestToken", token) == token if token else True)
            and not _is_older(one, begun)
        ]
        told.update((one["EventId"], one) for one in new)
        return new[::-1]


def split_template(template: Template) -> tuple[str, bool]:
    """The template as text, and whether it is too large for a request."""
    # All ASCII: GetTemplate gives other characters back as question marks.
    body = json.dumps(template, separators=(",", ":"))
    return body, len(body.encode()) > _INLINE


class _races:
    """Errors that mean that somebody else was faster become `StackMoved`."""

    def __init__(self, account: Account, name: str) -> None:
        self._asked = asked(account, "cloudformation", f"stack {name}")
        self._name = name

    def __enter__(self) -> None:
        self._asked.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        code, text = (code_of(error), str(error)) if error else ("", "")
        if code == "AlreadyExistsException" or "_IN_PROGRESS state" in text:
            raise StackMoved(f"stack {self._name} is being changed by somebody else") from error
        self._asked.__exit__(kind, error, trace)


def _says_absent(error: BridgeError) -> bool:
    return "does not exist" in error.message


def _standing(found: Mapping[str, Any]) -> Standing:
    changed = found.get("LastUpdatedTime") or found.get("CreationTime")
    return Standing(
        name=found["StackName"],
        id=found["StackId"],
        status=found["StackStatus"],
        reason=found.get("StackStatusReason", ""),
        tags={one["Key"]: one["Value"] for one in found.get("Tags", ())},
        updated=changed.isoformat() if changed else "",
        outputs={one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())},
    )


def _good(status: str, *, rolling: bool) -> bool:
    if status == "UPDATE_ROLLBACK_COMPLETE":
        return rolling
    return status.endswith("_COMPLETE") and "ROLLBACK" not in status


_AFTER: Final[Mapping[str, str]] = {
    "ROLLBACK_COMPLETE": "nothing of the stack is left; apply deletes its remains and tries again",
    "UPDATE_ROLLBACK_COMPLETE": "the last good state is back",
}


def _failed(name: str, found: Standing, events: list[Mapping[str, Any]]) -> BridgeError:
    """Which resource failed, why, and what the stack is now."""
    failure = failure_of(events, name)
    what = failure.sentence if failure else found.reason or found.status
    missing = denial(failure.reason) if failure else None
    hint = _AFTER.get(found.status, "") or _instruction(name, found.status, events)
    if missing:
        return AccessError(f"stack {name}: {what}", hint=f"{missing.hint}; {hint}")
    return PermanentError(f"stack {name}: {what}", hint=hint)


def _instruction(name: str, status: str, events: list[Mapping[str, Any]]) -> str:
    broken = sorted(
        {
            str(one["LogicalResourceId"])
            for one in events
            if one["ResourceStatus"].endswith("_FAILED") and one["LogicalResourceId"] != name
        }
    )
    if status == "UPDATE_ROLLBACK_FAILED":
        return (
            "mend what is named above and apply again, or leave it out: aws cloudformation "
            f"continue-update-rollback --stack-name {name} --resources-to-skip {' '.join(broken)}"
        )
    if status == "DELETE_FAILED":
        return (
            "mend what is named above and do it again, or keep it: aws cloudformation "
            f"delete-stack --stack-name {name} --retain-resources {' '.join(broken)}"
        )
    return f"the stack is {status}; mend what is named above and apply again"


def _is_older(event: Mapping[str, Any], begun: datetime) -> bool:
    at = event.get("Timestamp", _EPOCH)
    return bool(at.timestamp() < begun.timestamp())


def _now() -> datetime:
    # Clocks differ a little: an event of ours must not be taken for an older one.
    return datetime.fromtimestamp(time.time() - 5.0, UTC)


def _token(doing: str) -> str:
    return f"oscar-bridge-{doing}-{uuid.uuid4().hex}"


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
