"""An object store and an AWS endpoint that stand on this machine until somebody says stop.

    with Standing(engine="process", port=4566) as standing:
        print(standing.variables())
        standing.wait()

The same servers as those of a `Session`, without a document: what is in them comes by their APIs.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bridge.errors import PermanentError, UsageError
from bridge.local._signals import held_back, undisturbed
from bridge.local._together import Together
from bridge.local.aws import AwsEndpoint
from bridge.local.children import SessionFolder
from bridge.local.executors import gateway, resolve
from bridge.local.executors.guard import Guard
from bridge.local.objectstore import ObjectStore

__all__ = ["Standing", "StandingSettings"]

_LOOPBACK: Final = "127.0.0.1"
_POLL: Final = 0.5


@dataclass(frozen=True, slots=True)
class StandingSettings:
    """`engine` is auto, container or process. `port` is the AWS endpoint's, the object store's is
    the next one; 0 for any free ones. `keep` is a folder in which objects of the store, its keys
    and the logs stay; None: nothing stays. What is in the AWS endpoint never stays.
    """

    engine: str = "auto"
    port: int = 0
    keep: Path | None = None


class Standing:
    """The servers, from the beginning of the `with` block to its end.

    Errors then: UsageError, MissingToolError, PermanentError (a port that is taken). Everything is
    stopped and removed at the end of the block, also when this process is killed.
    """

    def __init__(self, settings: StandingSettings | None = None) -> None:
        self._settings = settings or StandingSettings()
        self.engine = resolve(self._settings.engine)
        self._stack = ExitStack()
        self._together = Together()
        self._store: ObjectStore | None = None
        self._aws: AwsEndpoint | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def variables(self) -> dict[str, str]:
        """What programs need to use the servers; holds secret keys."""
        assert self._aws is not None and self._store is not None
        keys = self._store.credentials
        return {
            **self._aws.environment(),
            # Image names stay as they are: the runtime is brought along.
            "OSCAR_BRIDGE_IMAGES": "as-is",
            "MINIO_ENDPOINT": self._store.endpoint,
            "MINIO_ACCESS_KEY": keys.access_key,
            "MINIO_SECRET_KEY": keys.secret_key.reveal(),
        }

    def wait(self) -> None:
        """Return never, unless a server ends by itself: PermanentError with the end of its log."""
        pause = threading.Event()
        while not pause.wait(_POLL):
            self._check()

    def _check(self) -> None:
        assert self._aws is not None and self._store is not None
        if not self._aws.alive:
            raise PermanentError(f"the AWS endpoint has ended; its log is {self._aws.log}")
        if not self._store.alive:
            raise PermanentError("the object store has ended")

    def _start(self) -> None:
        contained = self.engine == "container"
        name = secrets.token_hex(6)
        self._stack.callback(self._together.close)
        folder = self._folder(name, contained=contained)
        kept = _kept(self._settings.keep) or folder
        address = gateway() if contained else _LOOPBACK
        port = self._settings.port
        self._store = ObjectStore(kept / "objects", address=address, port=port and port + 1)
        self._aws = AwsEndpoint(
            folder / "aws",
            engine=self.engine,
            session=name,
            address=address,
            port=port,
            runtime=_runtime() if contained else None,
            log=kept / "aws.log",
        )
        work: list[Callable[[], None]] = [
            lambda: self._enter(self._store),
            lambda: self._enter(self._aws),
        ]
        self._together.run(work, len(work))

    def _enter(self, server: ObjectStore | AwsEndpoint | None) -> None:
        assert server is not None
        self._stack.enter_context(server)

    def _folder(self, name: str, *, contained: bool) -> Path:
        with held_back():
            folder = SessionFolder()
            guard = Guard(name, folder.path, containers=contained)
            self._stack.callback(guard.close)
            return self._stack.enter_context(folder).path

    def _stop(self) -> None:
        try:
            with undisturbed():
                self._stack.close()
        finally:
            self._stack.close()


def _kept(folder: Path | None) -> Path | None:
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--keep {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--keep {folder} cannot be written to")
    return folder.absolute()


def _runtime() -> Path:
    from bridge.runtime import cached  # noqa: PLC0415  only containers need it

    return cached()
