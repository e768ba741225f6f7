"""What was spent, by day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final, Self

__all__ = ["Ledger"]

_DAY: Final = 86_400
# Days that are kept: this month and the one before, whatever their length.
_KEPT: Final = 62
_NONE: Final = Decimal(0)


@lru_cache(maxsize=128)
def _date(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY, UTC).date().isoformat()


class Ledger:
    """USD by day of UTC, for the last two months."""

    __slots__ = ("_days", "changed")

    def __init__(self) -> None:
        self.changed = False
        self._days: dict[str, Decimal] = {}

    def add(self, cost: Decimal, at: float) -> None:
        """So much was spent at that time."""
        self.changed = True
        day = _date(int(at // _DAY))
        self._days[day] = self._days.get(day, _NONE) + cost
        if len(self._days) > _KEPT:
            del self._days[min(self._days)]

    def spent(self, now: float) -> tuple[Decimal, Decimal]:
        """USD of the day and of the month of `now`."""
        today = _date(int(now // _DAY))
        month = sum((v for day, v in self._days.items() if day[:7] == today[:7]), _NONE)
        return self._days.get(today, _NONE), month

    def is_old(self, now: float) -> bool:
        """Whether nothing was spent for two months."""
        return not self._days or max(self._days) < _date(int(now // _DAY) - _KEPT)

    def as_json(self) -> dict[str, str]:
        """All of it as plain values."""
        return {day: str(value) for day, value in self._days.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, str]) -> Self:
        """What `as_json` wrote."""
        made = cls()
        made._days = {day: Decimal(value) for day, value in data.items()}
        return made
