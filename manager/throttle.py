"""Limits on wrong credentials: so many for an address and for a name, then it is asked to wait."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from manager.auth import Refused

__all__ = ["Limits", "Throttle"]

# Addresses and names that are remembered at most: who has many costs no more memory than this.
_KEPT: Final = 20_000
_LONGEST: Final = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """Wrong credentials that are answered within `period` seconds, of one address and of one name
    from everywhere."""

    address: int = 100
    name: int = 20
    period: float = 60.0


class Throttle:
    """Counts wrong credentials; thread-safe, and of bounded memory.

    Each count drains evenly: the whole of it in `period`. A name that has too many is still open to
    the addresses from which it was right before, so that nobody can lock its owner out.
    """

    def __init__(self, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        self._right: OrderedDict[tuple[str, str], None] = OrderedDict()

    def check(self, address: str, name: str) -> None:
        """Refused (429, with Retry-After) when the address or the name must wait; "" is no name."""
        limits, address, name = self._limits, _network(address), name[:_LONGEST]
        with self._lock:
            waits = [self._wait((_kind(name), address), limits.address)]
            if name and (name, address) not in self._right:
                waits.append(self._wait(("name", name), limits.name))
        if wait := max(waits):
            text = "too many wrong credentials; try again later"
            raise Refused(429, text, {"Retry-After": str(wait)})

    def wrong(self, address: str, name: str) -> None:
        """Count credentials that were wrong."""
        with self._lock:
            for key in ((_kind(name), _network(address)), ("name", name[:_LONGEST])):
                if key[1]:
                    self._wrong[key] = self._count(key) + 1, self._clock()
                    self._wrong.move_to_end(key)
            _shorten(self._wrong)

    def right(self, address: str, name: str) -> None:
        """Remember where a name's credentials were right."""
        if not name:
            return
        key = (name[:_LONGEST], _network(address))
        with self._lock:
            self._right[key] = None
            self._right.move_to_end(key)
            _shorten(self._right)

    def _count(self, key: tuple[str, str]) -> float:
        """What is left of a count."""
        count, at = self._wrong.get(key, (0.0, 0.0))
        limit = self._limits.name if key[0] == "name" else self._limits.address
        return max(0.0, count - (self._clock() - at) * limit / self._limits.period)

    def _wait(self, key: tuple[str, str], limit: int) -> int:
        """Whole seconds until one more is answered, 0 for none."""
        over = self._count(key) - limit + 1
        return math.ceil(over * self._limits.period / limit) if over > 0 else 0


def _kind(name: str) -> str:
    """Passwords and tokens are counted apart: a browser with an old token must not lock out those
    who come through the same proxy with a password."""
    return "password" if name else "token"


def _shorten(kept: OrderedDict[tuple[str, str], Any]) -> None:
    """Forget what was not heard of for the longest time."""
    while len(kept) > _KEPT:
        kept.popitem(last=False)


def _network(address: str) -> str:
    """The address, of IPv6 the network of 64 bits: whoever has one address there has them all."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:_LONGEST]
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or int(found) >> 64)
