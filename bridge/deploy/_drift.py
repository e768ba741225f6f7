"""What was changed past CloudFormation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from bridge.deploy import _live
from bridge.deploy._compare import differences
from bridge.deploy._faults import asked, unknown_to_endpoint
from bridge.deploy._masking import Mask
from bridge.deploy._stacks import Pace, Stacks
from bridge.deploy._templates import given_name, resources_of
from bridge.deploy.model import DEPLOYMENT_TAG, PropertyChange, Template
from bridge.deploy.watch import Silent, Watch
from bridge.errors import BridgeError, NotFoundError, TargetUnavailable
from bridge.secret import Secret
from bridge.targets.aws.account import Account

__all__ = ["DriftReport", "Drifted", "drift"]

State = Literal["modified", "deleted"]
_STATES: Final[Mapping[str, State]] = {"MODIFIED": "modified", "DELETED": "deleted"}
_SURE: Final = frozenset({"IN_SYNC", "MODIFIED", "DELETED"})


@dataclass(frozen=True, slots=True)
class Drifted:
    """One resource that is not as its template says. `before` is the template's value."""

    stack: str
    logical: str
    type: str
    name: str
    state: State
    properties: tuple[PropertyChange, ...] = ()


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What has drifted in the stacks that were looked at, and how many resources nobody knows."""

    stacks: tuple[str, ...]
    drifted: tuple[Drifted, ...]
    unchecked: int = 0


def drift(
    name: str,
    account: Account,
    *,
    secrets: Iterable[Secret] = (),
    watch: Watch | None = None,
    pace: Pace | None = None,
) -> DriftReport:
    """Compare a deployment, and the base, with what is there.

    CloudFormation's own drift detection is asked where the endpoint has it; what it does not check
    is compared here, as far as the template says a value and the service tells it.
    `secrets` are kept out of what is shown. NotFoundError when nothing of that name is deployed.
    """
    watch, pace = watch or Silent(), pace or Pace()
    stacks, mask = Stacks(account, watch, pace=pace), Mask(secrets)
    base = account.settings.name
    ours = stacks.all()
    mine = [one.name for one in ours if one.tags.get(DEPLOYMENT_TAG) == name and one.name != base]
    if not mine:
        raise NotFoundError(f"there is no deployment {name} in {account.region}")
    looked = [*(one.name for one in ours if one.name == base), *mine]
    found: list[Drifted] = []
    unchecked = 0
    for one in looked:
        watch.step(f"stack {one}: comparing")
        stacks.rest(one)
        rows, unknown = _Stack(account, stacks, one, mask, pace).look()
        found += rows
        unchecked += unknown
    return DriftReport(tuple(looked), tuple(found), unchecked)


class _Stack:
    def __init__(self, account: Account, stacks: Stacks, name: str, mask: Mask, pace: Pace) -> None:
        self._account = account
        self._name = name
        self._mask = mask
        self._pace = pace
        self._physical = stacks.physical(name)
        self._template: Template = stacks.template(name) or {}

    def look(self) -> tuple[list[Drifted], int]:
        """The drifted resources, and how many could not be compared."""
        told = self._detected()
        found = [
            self._drifted(logical, _STATES[state], self._told(one))
            for logical, (state, one) in told.items()
            if state in _STATES
        ]
        rest = {logical: one for logical, one in self._physical.items() if logical not in told}
        gone = _live.gone(self._account, rest)
        found += [self._drifted(logical, "deleted") for logical in sorted(gone)]
        unknown = 0
        for logical, (kind, physical, _) in rest.items():
            wanted = resources_of(self._template).get(logical, {}).get("Properties") or {}
            rows = None if logical in gone else differences(self._account, kind, physical, wanted)
            if rows:
                shown = tuple(
                    PropertyChange(p, self._mask.text(p, b), self._mask.text(p, a))
                    for p, b, a in rows
                )
                found.append(self._drifted(logical, "modified", shown))
            unknown += rows is None and logical not in gone
        return found, unknown

    def _detected(self) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
        """What CloudFormation is sure of, by logical id; nothing where it cannot tell."""
        client = self._account.client("cloudformation")
        try:
            with asked(self._account, "cloudformation", f"drift of stack {self._name}"):
                made = client.detect_stack_drift(StackName=self._name)["StackDriftDetectionId"]
                self._wait(client, made)
                return dict(self._pages(client))
        except BridgeError as error:
            if error.__cause__ is not None and unknown_to_endpoint(error.__cause__):
                return {}
            raise

    def _wait(self, client: Any, detection: str) -> None:
        for _ in self._pace.beats():
            found = client.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
            if found["DetectionStatus"] != "DETECTION_IN_PROGRESS":
                return
        raise TargetUnavailable(f"drift of stack {self._name} is still being detected")

    def _pages(self, client: Any) -> Iterator[tuple[str, tuple[str, Mapping[str, Any]]]]:
        more: dict[str, str] = {}
        while True:
            page = client.describe_stack_resource_drifts(StackName=self._name, **more)
            for one in page["StackResourceDrifts"]:
                if one["StackResourceDriftStatus"] in _SURE:
                    yield one["LogicalResourceId"], (one["StackResourceDriftStatus"], one)
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}

    def _told(self, one: Mapping[str, Any]) -> tuple[PropertyChange, ...]:
        return tuple(
            PropertyChange(
                path := str(row["PropertyPath"]).strip("/").replace("/", "."),
                self._mask.text(path, row.get("ExpectedValue")),
                self._mask.text(path, row.get("ActualValue")),
            )
            for row in one.get("PropertyDifferences", ())
        )

    def _drifted(
        self, logical: str, state: State, properties: tuple[PropertyChange, ...] = ()
    ) -> Drifted:
        kind, physical, _ = self._physical.get(logical, ("", logical, ""))
        resource = resources_of(self._template).get(logical, {})
        name = given_name(resource) or physical or logical
        return Drifted(self._name, logical, kind, name, state, properties)
