"""Policies on trial on live jobs: a canary decides a share of them, a shadow is only asked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from bridge.errors import PlacementError, UsageError
from bridge.events import Event
from bridge.fdl.model import Service
from bridge.scheduler._decide import decide
from bridge.scheduler._policies import policy_named
from bridge.scheduler.model import Cause, Decision, Instead, Snapshot

TRIAL_VARIABLES: Final = ("BRIDGE_POLICY_CANARY", "BRIDGE_POLICY_SHADOW")
"""What a manager and the dispatcher on AWS are told their trial with."""

_CANARY: Final = re.compile(r"([a-z][a-z0-9-]*):(\d+(?:\.\d+)?)%")


@dataclass(frozen=True, slots=True)
class Trial:
    """`canary` decides for `share` (0 to 1) of the jobs, `shadow` is asked for all; "" for none."""

    canary: str = ""
    share: float = 0.0
    shadow: str = ""

    @classmethod
    def read(cls, canary: str = "", shadow: str = "") -> Trial:
        """What settings say: a canary as `cheapest:5%`, a shadow as `fastest`, "" for none.

        UsageError for what cannot be understood, and for a policy that does not exist.
        """
        name, share = _canary(canary.strip()) if canary.strip() else ("", 0.0)
        for policy in filter(None, (name, shadow.strip())):
            _check(policy)
        return cls(name, share, shadow.strip())

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Trial:
        """What the TRIAL_VARIABLES say, the canary's and the shadow's. Errors as `read`'s."""
        return cls.read(*(environment.get(name, "") for name in TRIAL_VARIABLES))

    def takes(self, seed: int) -> bool:
        """Whether the canary decides the job of that seed; always the same for the same job."""
        digest = hashlib.sha256(f"canary\0{seed}".encode()).digest()
        return int.from_bytes(digest[:8]) < self.share * 2**64

    def decide(
        self, service: Service, event: Event | Cause | None, snapshot: Snapshot, /, *, seed: int = 0
    ) -> Decision:
        """The decision that counts, with what the others would have done; errors as `decide`'s.

        Policies on trial never harm a job: one that cannot decide it (its service's weights are not
        for it, say) leaves it as it is, and none gets past what the service allows.
        """
        found = decide(service, event, snapshot, seed=seed)
        if self.canary and self.takes(seed):
            found = self._canaried(found, _asked(self.canary, service, event, snapshot, seed))
        if self.shadow:
            other = _asked(self.shadow, service, event, snapshot, seed)
            if other is not None:
                found = replace(found, instead=(*found.instead, instead_of(other, "shadow")))
        return found

    def _canaried(self, primary: Decision, other: Decision | None) -> Decision:
        if other is None or (primary.target and not other.target):
            return primary
        return replace(
            other,
            reason=f"{other.reason}; decided by {self.canary}, a canary, not by {primary.policy}",
            trial="canary",
            instead=(*primary.instead, instead_of(primary, "primary")),
        )


def instead_of(decision: Decision, role: Literal["primary", "shadow"]) -> Instead:
    """What a decision says, in the form in which it is kept beside the one that counts."""
    if decision.chosen is None:
        return Instead(role, decision.policy, "")
    offer = decision.chosen.offer
    return Instead(role, decision.policy, offer.target, offer.wait, offer.finish, offer.cost)


def _asked(
    policy: str, service: Service, event: Event | Cause | None, snapshot: Snapshot, seed: int
) -> Decision | None:
    try:
        return decide(service, event, snapshot, policy=policy, seed=seed)
    except PlacementError:
        return None


def _canary(text: str) -> tuple[str, float]:
    read = _CANARY.fullmatch(text)
    share = float(read[2]) / 100 if read else 0.0
    if read is None or not 0 < share <= 1:
        raise UsageError(
            f"the canary {text!r} is not a policy with its share",
            hint="write cheapest:5%, more than 0 and at most 100",
        )
    return read[1], share


def _check(policy: str) -> None:
    try:
        policy_named(policy)
    except PlacementError as error:
        raise UsageError(error.message, hint=error.hint) from None
