"""Every error that OSCAR Bridge raises on purpose.

    BridgeError                 has a message, a stable code, an exit status and a hint
    ├── PermanentError          trying again does not help: never retried
    │   ├── FdlError            an FDL file is wrong; carries every Problem found  (exit 2)
    │   ├── EventError          an event cannot be understood; kept for inspection
    │   ├── UsageError          the command line asks for something impossible     (exit 2)
    │   ├── MissingToolError    a program or package is absent; says what to install (exit 3)
    │   ├── PlacementError      no target can run the service; says why for each
    │   ├── NotFoundError       a bucket, object, function, queue or script is not there
    │   ├── AccessError         credentials are absent, wrong or not sufficient
    │   ├── UnsafePathError     a name would leave the folder it belongs to
    │   └── ScriptError         the user's script failed, timed out or was killed
    └── TemporaryError          may pass: retried after `delay` seconds with backoff
        ├── StorageUnavailable  an object store is slow, refusing or cut
        ├── TargetUnavailable   a target is unreachable, throttled or has no room
        └── WaitError           it is not its turn yet: tried again however often that takes

Messages never contain a secret: build them from names, not from credentials.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "AccessError",
    "BridgeError",
    "EventError",
    "FdlError",
    "MissingToolError",
    "NotFoundError",
    "PermanentError",
    "PlacementError",
    "Problem",
    "ScriptError",
    "StorageUnavailable",
    "TargetUnavailable",
    "TemporaryError",
    "UnsafePathError",
    "UsageError",
    "WaitError",
]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in an FDL file, with its place (1-based line and column)."""

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        what = f"{self.path}: {self.message}" if self.path else self.message
        return f"{where}: {what}" + (f" ({self.hint})" if self.hint else "")


class BridgeError(Exception):
    """Base of all our errors. `code` is stable; `exit_status` is what the CLI returns."""

    code = "bridge"
    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class PermanentError(BridgeError):
    """Trying again without a change cannot succeed."""

    code = "permanent"


class FdlError(PermanentError):
    """An FDL document has problems; all of them are in `problems`, sorted by place."""

    code = "fdl"
    exit_status = 2

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(p) for p in self.problems))


class EventError(PermanentError):
    """An event's body has no meaning for us."""

    code = "event"


class UsageError(PermanentError):
    """What the command line asks for cannot be done."""

    code = "usage"
    exit_status = 2


class MissingToolError(PermanentError):
    """A program or a Python package is needed and absent; `hint` says what to install."""

    code = "missing-tool"
    exit_status = 3


class PlacementError(PermanentError):
    """No target can run a service."""

    code = "placement"


class NotFoundError(PermanentError):
    """Something that was named does not exist."""

    code = "not-found"


class AccessError(PermanentError):
    """Credentials are absent, wrong or lack a permission."""

    code = "access"


class UnsafePathError(PermanentError):
    """A name that would escape the folder it belongs to."""

    code = "unsafe-path"


class ScriptError(PermanentError):
    """The user's script did not succeed. `exit_code` is its own, None when it was killed."""

    code = "script"

    def __init__(self, message: str, *, exit_code: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class TemporaryError(BridgeError):
    """May pass by itself. `delay` is the least number of seconds to wait before a retry."""

    code = "temporary"

    def __init__(self, message: str, *, delay: float = 1.0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.delay = delay


class StorageUnavailable(TemporaryError):
    """An object store did not do what it was asked, for a reason that may pass."""

    code = "storage-unavailable"


class TargetUnavailable(TemporaryError):
    """A target did not take a job, for a reason that may pass."""

    code = "target-unavailable"


class WaitError(TemporaryError):
    """It is not its turn yet; to wait is no failure."""

    code = "wait"
