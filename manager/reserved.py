"""What several managers place of a user's jobs, told by each before it does.

What one of them has placed is in no count of jobs until it is stored: two that count at once would
both take the last place of a quota.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from manager.store import ServiceStore

__all__ = ["Reserved"]

_PLACED: Final = "placed of user "
# Seconds after which nobody needs to know any more what a manager has placed that is silent.
_OLD: Final = 86_400.0

Told = Callable[[Mapping[str, int] | None], None]
"""Gets what the others have placed since it was asked last, by service; None the first time, when
that is not known. What it raises lets nothing be placed."""


class Reserved:
    """One manager's part of it: totals by manager and service, in the state that all of them have.

    Not thread-safe.
    """

    def __init__(self, state: ServiceStore) -> None:
        self._state = state
        self._me = secrets.token_hex(8)
        self._seen: dict[str, Counter[str]] = {}

    def place(self, uid: str, service: str, told: Told) -> None:
        """Say that one more job of a user's service is placed, unless `told` raises. In turn with
        all managers: from the call of `told` on nobody else places any of his."""

        def change(kept: dict[str, Any]) -> dict[str, Any]:
            told(self._news(uid, kept))
            now = time.time()
            mine = Counter(kept.get(self._me, {}).get("of", {}))
            mine[service] += 1
            others = {name: one for name, one in kept.items() if now - one["at"] < _OLD}
            return others | {self._me: {"at": now, "of": dict(mine)}}

        self._state.change_setting(_PLACED + uid, {}, change)

    def _news(self, uid: str, kept: Mapping[str, Any]) -> Mapping[str, int] | None:
        totals = Counter[str]()
        for name, one in kept.items():
            if name != self._me:
                totals.update({f"{name} {service}": count for service, count in one["of"].items()})
        before = self._seen.get(uid)
        self._seen[uid] = totals
        if before is None:
            return None if totals else {}
        found = Counter[str]()
        for key, count in (totals - before).items():
            found[key.partition(" ")[2]] += count
        return found
