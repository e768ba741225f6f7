"""The environments of all functions: warm ones are used again, old ones retired."""

from __future__ import annotations

import threading
import time
from typing import Final

from bridge.local.aws._limits import lambda_limits
from bridge.local.aws._logs import LogWriter
from bridge.local.aws.functions.environment import Environment
from bridge.local.aws.functions.model import Function, Invocation, Outcome
from bridge.local.aws.functions.runtime_api import RuntimeApi
from bridge.local.aws.model import Place, Scope, Settings
from bridge.local.executors import Executor

_TICK: Final = 1.0


class Pool:
    """Runs invocations, each in an environment of its own while it lasts.

    The number of concurrent invocations is bounded by the caller (the account's concurrency);
    warm environments above `settings.environments` are ended, oldest first.
    """

    def __init__(
        self, executor: Executor, host: str, logs: LogWriter, place: Place, settings: Settings
    ) -> None:
        self._executor = executor
        self._logs = logs
        self._place = place
        self._settings = settings
        self._api = RuntimeApi(host, lambda_limits().response_bytes)
        self._lock = threading.Lock()
        self._idle: list[Environment] = []
        self._busy: set[Environment] = set()
        self._retired: list[Environment] = []
        self._closed = False
        self._wake = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="bridge-functions", daemon=True)
        self._keeper.start()

    def invoke(self, function: Function, invocation: Invocation) -> Outcome:
        """Run one invocation to its end; never raises for what the function does."""
        environment = self._take(function)
        try:
            limit = self._settings.init_timeout or float(lambda_limits().init_seconds)
            return environment.invoke(invocation, limit)
        finally:
            self._give_back(environment)

    def retire(self, scope: Scope, name: str) -> None:
        """End the environments of a function, soon: warm ones now, others after their invocation.

        Returns at once; no later invocation meets one of them.
        """
        with self._lock:
            self._retired += [one for one in self._idle if _is(one, scope, name)]
            self._idle = [one for one in self._idle if not _is(one, scope, name)]
            for one in self._busy:
                if _is(one, scope, name):
                    one.alive = False
        self._wake.set()

    def close(self) -> None:
        """End every environment."""
        with self._lock:
            self._closed = True
            old = [*self._idle, *self._busy, *self._retired]
            self._idle, self._retired = [], []
        self._wake.set()
        self._keeper.join()
        _stop(old)
        self._api.close()

    def _take(self, function: Function) -> Environment:
        with self._lock:
            environment = self._warm(function) or Environment(
                function, self._executor, self._api, self._logs, self._place
            )
            self._busy.add(environment)
            excess = len(self._busy) + len(self._idle) - self._settings.environments
            old, self._idle = self._idle[: max(0, excess)], self._idle[max(0, excess) :]
        _stop(old)
        return environment

    def _warm(self, function: Function) -> Environment | None:
        for place in range(len(self._idle) - 1, -1, -1):
            one = self._idle[place]
            if one.usable and one.function.same_environment(function):
                return self._idle.pop(place)
        return None

    def _give_back(self, environment: Environment) -> None:
        with self._lock:
            self._busy.discard(environment)
            keep = environment.usable and not self._closed
            if keep:
                environment.idle_since = time.monotonic()
                self._idle.append(environment)
        if not keep:
            environment.stop()

    def _keep(self) -> None:
        """End what was retired or has been idle for too long."""
        while not self._closed:
            self._wake.wait(_TICK)
            self._wake.clear()
            limit = time.monotonic() - self._settings.idle
            with self._lock:
                old, self._retired = self._retired, []
                old += [one for one in self._idle if one.idle_since < limit]
                self._idle = [one for one in self._idle if one.idle_since >= limit]
            _stop(old)


def _is(environment: Environment, scope: Scope, name: str) -> bool:
    return environment.function.scope == scope and environment.function.name == name


def _stop(environments: list[Environment]) -> None:
    for one in environments:
        one.stop()
