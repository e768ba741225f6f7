"""Several managers on one state: what one has changed the others learn, and changes do not meet.

Also where there is one: services that were kept are made runnable again, some of them later.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bridge.errors import BridgeError, TemporaryError
from manager.service import Deployed
from manager.store import ServiceRow, ServiceStore

__all__ = ["Hands", "Sharing", "row_of"]

_LOG: Final = logging.getLogger("manager")
# Seconds between two looks for what others have changed.
_LOOK: Final = 1.0


@dataclass(frozen=True, slots=True)
class Hands:
    """What a manager does for `Sharing`.

    `known`: its services by name. `read`: a stored service as one, BridgeError when it cannot be.
    `learn`: these are the services from now on. `install`: make one runnable here, although another
    manager may have done so. `forget`: let go of one that another manager has deleted.
    """

    known: Callable[[], Mapping[str, Deployed]]
    read: Callable[[ServiceRow], Deployed]
    learn: Callable[[Mapping[str, Deployed]], None]
    install: Callable[[Deployed], None]
    forget: Callable[[Deployed], None]


class Sharing:
    """A manager's services beside those that are stored. Thread-safe.

    `lock` is held while a change is stored and made known in this process. `idle` are the services
    that are not runnable here yet.
    """

    def __init__(self, state: ServiceStore, hands: Hands) -> None:
        self.lock = threading.RLock()
        self.idle: set[str] = set()
        self._gone: dict[str, Deployed] = {}
        self._state = state
        self._hands = hands
        self._changing = threading.Lock()
        self._seen = state.version()
        self._stopping = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="manager-follow", daemon=True)

    def kept(self) -> dict[str, Deployed]:
        """The services that are stored, by name; those that cannot be read are left out."""
        rows = self._state.services()
        return {row.name: one for row in rows if (one := self._as_known(row)) is not None}

    def _as_known(self, row: ServiceRow) -> Deployed | None:
        """The service of a row, the very same while nobody has changed it."""
        known = self._hands.known().get(row.name)
        if known is not None and row_of(known) == row:
            return known
        try:
            return self._hands.read(row)
        except Exception as error:
            # One that this version cannot read must not stop the rest, whatever is wrong with it.
            said = error if isinstance(error, BridgeError) else type(error).__name__
            _LOG.error(
                "service %s is stored and cannot be read, so it takes no jobs until it is created"
                " again: %s",
                row.name,
                said,
            )
            return None

    # --- changing ---------------------------------------------------------------------------

    @contextmanager
    def change(self) -> Iterator[None]:
        """Nobody else changes services meanwhile, and what is known is what is stored.

        TemporaryError when another manager does so for too long.
        """
        with self._changing, self._state.exclusive():
            self._learn()
            yield
            # All that was stored since is known here.
            self._seen = self._state.version()

    # --- learning ---------------------------------------------------------------------------

    def refresh(self) -> None:
        """Learn what others have changed. While the database does not answer, what is known has to
        do."""
        try:
            self._learn()
        except TemporaryError as error:
            _LOG.warning("%s", error)

    def _learn(self) -> None:
        if not self._state.shared or self._state.version() == self._seen:
            return
        with self.lock:
            # Before the rows: what changes after it is learned the next time.
            number = self._state.version()
            if number == self._seen:
                return
            known, found = self._hands.known(), self.kept()
            self.idle |= {name for name, one in found.items() if one is not known.get(name)}
            self._gone |= {name: one for name, one in known.items() if name not in found}
            self._hands.learn(found)
            self._seen = number

    # --- making runnable --------------------------------------------------------------------

    def prepare(self, name: str) -> None:
        """Make a service runnable here unless it is; errors of targets and stores as they are."""
        if name not in self._hands.known():
            self._learn()
        if name in self.idle:
            with self.change():
                self._install(name)

    def _install(self, name: str) -> None:
        one = self._hands.known().get(name)
        if one is not None and name in self.idle:
            self._hands.install(one)
        self.idle.discard(name)

    def resume(self) -> frozenset[str]:
        """Let go of what is gone, and make runnable what is not; the names of what cannot be."""
        for name in sorted(self._gone):
            try:
                self._let_go(name)
            except BridgeError as error:
                _LOG.warning("what is left of service %s cannot be removed: %s", name, error)
        failed = set()
        for name in sorted(self.idle):
            try:
                self.prepare(name)
            except BridgeError as error:
                # One service must not keep the others from working.
                _LOG.warning("service %s cannot be made runnable: %s", name, error)
                failed.add(name)
        return frozenset(failed)

    def _let_go(self, name: str) -> None:
        with self.change():
            one = self._gone.pop(name, None)
            # It may have been made again since.
            if one is not None and name not in self._hands.known():
                self._hands.forget(one)

    # --- following --------------------------------------------------------------------------

    def start(self) -> None:
        """Make all services runnable, and follow the other managers from now on."""
        self.idle |= set(self._hands.known())
        self.resume()
        if self._state.shared:
            self._follower.start()

    def close(self) -> None:
        """Follow nobody any more."""
        self._stopping.set()
        if self._follower.is_alive():
            self._follower.join()

    def _follow(self) -> None:
        failed = frozenset[str]()
        while not self._stopping.wait(_LOOK):
            try:
                self._learn()
                # What could not be made runnable has its time with the manager's other chores.
                if self._gone or self.idle - failed:
                    failed = self.resume()
            except BridgeError as error:
                _LOG.warning("cannot learn what other managers have changed: %s", error)
            except Exception:
                _LOG.exception("learning what other managers have changed failed; trying again")


def row_of(one: Deployed) -> ServiceRow:
    """A service as it is stored."""
    return ServiceRow(one.name, one.source, one.token, one.owner, one.owner_name, one.created)
