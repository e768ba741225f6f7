"""A function, one invocation of it, and how that ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.local.aws.model import Scope


@dataclass(frozen=True, slots=True)
class Function:
    """A version of an image function as it was configured. `timeout` seconds, `memory` MB.

    `storage` is the size of /tmp in MB.
    """

    scope: Scope
    name: str
    arn: str
    image: str
    version: str = "$LATEST"
    entry_point: tuple[str, ...] | None = None
    command: tuple[str, ...] = ()
    workdir: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: int = 3
    memory: int = 128
    log_group: str = ""
    revision: str = ""
    storage: int = 512

    @property
    def key(self) -> tuple[Scope, str, str]:
        """What an environment can serve: this version and no other."""
        return self.scope, self.name, self.version

    def same_environment(self, other: Function) -> bool:
        """True when an environment of the other function serves this one as well."""
        return self.key == other.key and self.signature == other.signature

    @property
    def signature(self) -> str:
        """Everything that an environment is started with, as one text."""
        parts = [self.image, self.entry_point, self.command, self.workdir, dict(self.env)]
        return json.dumps(
            [*parts, self.timeout, self.memory, self.storage, self.log_group], sort_keys=True
        )


@dataclass(frozen=True, slots=True)
class Invocation:
    """One event for a function. `arn` is the one that was invoked (with its qualifier)."""

    request_id: str
    payload: bytes
    arn: str
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to an invocation: `payload` is JSON text as bytes.

    `error` is "" or what AWS puts in the X-Amz-Function-Error header. `log` is the end of what
    was logged.
    """

    payload: bytes
    error: str = ""
    log: str = ""

    @property
    def value(self) -> Any:
        """The payload decoded; its text when it is not JSON."""
        if not self.payload:
            return None
        try:
            return json.loads(self.payload)
        except ValueError:
            return self.payload.decode(errors="replace")


def failure(kind: str, message: str) -> Outcome:
    """An error that the platform reports in the function's place."""
    body = {"errorType": kind, "errorMessage": message}
    return Outcome(json.dumps(body).encode(), "Unhandled")
