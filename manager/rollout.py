"""Services on their way to targets where that takes its time and may not succeed: those of AWS.

Nobody who makes a service waits for it. What is under way is known by name and target, and why.
What a target may have of a service is written down before it is made: nothing is left behind.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol, runtime_checkable

from bridge.errors import BridgeError, TemporaryError
from bridge.fdl.model import ProviderRef, Service, TargetSpec
from bridge.targets import Target
from bridge.targets.aws.definitions import secret_values
from bridge.targets.render import ProviderAccess, service_document
from manager.store import ServiceStore

__all__ = ["AWS", "Ground", "Images", "Rollouts", "State"]

AWS: Final = frozenset({"lambda", "batch"})
"""The kinds of targets that are reached in this way."""

Images = Callable[[Service], Service]
"""A service → the same, with the image that AWS runs for it, which is there then."""

State = Literal["pending", "ready", "failed"]

_LOG: Final = logging.getLogger("manager")
_KEPT: Final = "rollout/"
_FIRST: Final = 2.0
_LAST: Final = 300.0  # seconds between two tries, at most


@runtime_checkable
class _Distant(Target, Protocol):
    """A target that can be told of services without being asked to make anything."""

    def know(self, services: list[Service]) -> None:
        """See `LambdaTarget.know`."""
        ...


@dataclass(frozen=True, slots=True)
class _Step:
    """What is wanted of one service on one target, None for nothing; `due` is by the clock."""

    service: Service | None
    content: str
    state: State = "pending"
    why: str = "it is being made"
    due: float = 0.0
    tries: int = 0


class Held(Protocol):
    """What `Rollouts` needs of the manager's parts. `abroad` is how jobs on AWS reach storage
    providers; `mark` is another whenever everything has to be made anew."""

    @property
    def state(self) -> ServiceStore:
        """What outlives this process."""
        ...

    @property
    def abroad(self) -> Mapping[ProviderRef, ProviderAccess]:
        """See the class."""
        ...

    @property
    def images(self) -> Images:
        """Makes what AWS runs."""
        ...

    @property
    def mark(self) -> str:
        """See the class."""
        ...


@dataclass(frozen=True, slots=True)
class Ground:
    """What `Rollouts` stands on.

    `changing` keeps everybody, other managers too, from changing services; within it `wanted` says
    whether a service may run on a target, whoever made it.
    """

    parts: Held
    changing: Callable[[], AbstractContextManager[None]]
    wanted: Callable[[str, str], bool]


class Rollouts:
    """Brings services to the AWS targets among `targets`, one after the other, in a thread.

    What fails is tried again, less and less often. What is there already, by what was written down,
    is ready at once. Thread-safe; `want` and `drop` return at once, and are called within a change.
    """

    def __init__(self, targets: Mapping[str, Target], ground: Ground) -> None:
        self._targets = {
            name: target
            for name, target in targets.items()
            if target.spec.kind in AWS and isinstance(target, _Distant)
        }
        self._ground = ground
        self._parts = ground.parts
        self._lock = threading.Lock()
        self._steps: dict[tuple[str, str], _Step] = {}
        self._absent: Mapping[str, Mapping[str, str]] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._worker = threading.Thread(target=self._work, name="manager-rollout", daemon=True)

    # --- what is wanted ---------------------------------------------------------------------

    def covers(self, target: str) -> bool:
        """Whether services come to the target in this way."""
        return target in self._targets

    def want(self, target: str, service: Service) -> None:
        """Have the service there, as it is now."""
        self._targets[target].know([service])
        content = self._content(self._targets[target].spec, service)
        key, name = (target, service.name), self._name(target, service.name)
        with self._lock:
            there = self._steps.get(key)
            if there and there.content == content and there.state != "failed":
                return
            if self._parts.state.setting(name, "") == content:
                self._put(key, _Step(service, content, "ready", ""))
                return
        # Known before anything is made, and that it is not what it was.
        self._parts.state.put_setting(name, "-")
        with self._lock:
            self._put(key, _Step(service, content))
        self._wake.set()

    def drop(self, target: str, service: str) -> None:
        """Have nothing of the service there any more."""
        with self._lock:
            self._put((target, service), _Step(None, "", why="it is being removed"))
        self._wake.set()

    # --- what there is ----------------------------------------------------------------------

    def absent(self, target: str) -> Mapping[str, str]:
        """The services that are not there yet, and why."""
        return self._absent.get(target, {})

    def states(self, service: str) -> dict[str, tuple[State, str]]:
        """How the service stands on each target that it is wanted on."""
        with self._lock:
            return {
                target: (step.state, step.why)
                for (target, name), step in sorted(self._steps.items())
                if name == service and step.service is not None
            }

    # --- its life ---------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work, once what is to be there is wanted: all else is removed."""
        if not self._targets:
            return
        for name in self._parts.state.settings(_KEPT):
            target, _, service = name.removeprefix(_KEPT).partition("/")
            if self.covers(target) and (target, service) not in self._steps:
                self.drop(target, service)
        self._worker.start()

    def close(self) -> None:
        """Stop after what is under way."""
        self._stopping.set()
        self._wake.set()
        if self._worker.is_alive():
            self._worker.join()

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            with self._lock:
                open_ = [(s.due, key) for key, s in self._steps.items() if s.state != "ready"]
            due, key = min(open_, default=(time.monotonic() + _LAST, None))
            if key is None or (wait := due - time.monotonic()) > 0:
                self._wake.wait(_LAST if key is None else wait)
            else:
                self._take(key)

    def _take(self, key: tuple[str, str]) -> None:
        with self._lock:
            step = self._steps.get(key)
        if step is None:
            return
        try:
            if step.service is None:
                self._remove(*key)
                after = None
            else:
                self._make(key[0], step.service, step.content)
                after = replace(step, state="ready", why="")
        except BridgeError as error:
            after = _later(step, str(error.message), passing=isinstance(error, TemporaryError))
            _LOG.warning("service %s on %s: %s", key[1], key[0], error)
        except Exception as error:
            _LOG.exception("service %s on %s", key[1], key[0])
            after = _later(step, f"{type(error).__name__}", passing=True)
        with self._lock:
            # What was wanted meanwhile is another step.
            if self._steps.get(key) is step:
                self._put(key, after)

    def _make(self, target: str, service: Service, content: str) -> None:
        self._targets[target].deploy([self._parts.images(service)])
        self._parts.state.put_setting(self._name(target, service.name), content)

    def _remove(self, target: str, service: str) -> None:
        with self._ground.changing():
            # Somebody may have made it again, here or by another manager.
            if not self._ground.wanted(service, target):
                self._targets[target].remove([service])
                self._parts.state.remove_setting(self._name(target, service))

    def _put(self, key: tuple[str, str], step: _Step | None) -> None:
        if step is None:
            self._steps.pop(key, None)
        else:
            self._steps[key] = step
        target, service = key
        ready = step is None or step.state == "ready"
        if ready and service not in self.absent(target):
            return
        # Snapshots have the old one.
        mine = dict(self.absent(target))
        mine.pop(service, None)
        if step is not None and not ready:
            mine[service] = step.why
        self._absent = {**self._absent, target: mine}

    @staticmethod
    def _name(target: str, service: str) -> str:
        return f"{_KEPT}{target}/{service}"

    def _content(self, spec: TargetSpec, service: Service) -> str:
        """A digest of all that makes the service what it is there."""
        access = self._parts.abroad
        parts = [
            self._parts.mark,
            repr(spec.settings),
            repr(replace(service, place=None)),
            service.script_text or "",
            json.dumps(service_document(service, access), sort_keys=True),
            json.dumps(secret_values(service, access), sort_keys=True),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _later(step: _Step, why: str, *, passing: bool) -> _Step:
    """The step, to be tried again: what passes soon, what somebody has to put right late."""
    pause = min(_LAST, _FIRST * 2.0**step.tries) if passing else _LAST
    state: State = "pending" if passing else "failed"
    due = time.monotonic() + pause
    return replace(step, state=state, why=why, due=due, tries=step.tries + 1)
