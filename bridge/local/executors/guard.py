"""A process that cleans up after its parent when the parent could not.

Killed with SIGKILL, a program cannot stop what it started. The guard waits on a pipe from it; when
the pipe closes without a word it kills the session's processes and containers and removes its
folder, and its namespaces on clusters.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from bridge.errors import BridgeError
from bridge.local.executors import _proc
from bridge.local.executors._container import sweep
from bridge.local.executors._files import remove_tree

if TYPE_CHECKING:
    from bridge.local._clusters import SessionNamespace

__all__ = ["Guard"]

_ALL_IS_WELL: Final = b"."
_PROGRAM: Final = f"import sys; from {__name__} import main; sys.exit(main(sys.argv[1:]))"


class Guard:
    """Starts the guard process of one session; `close` tells it that all is well.

    `folder` (None: nothing) is removed with all in it, `containers` says whether the session may
    have started some. `namespaces` are removed where they exist.
    """

    def __init__(
        self,
        session: str,
        folder: Path | None,
        *,
        containers: bool,
        namespaces: Sequence[SessionNamespace] = (),
    ) -> None:
        made = json.dumps([asdict(one) for one in namespaces])
        words = [session, str(folder or ""), str(int(containers)), made]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def close(self) -> None:
        """End the guard; it cleans nothing up."""
        try:
            self._process.communicate(_ALL_IS_WELL)
        except ValueError:
            return  # it was closed before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def clean_up(session: str, folder: Path | None, *, containers: bool) -> None:
    """Kill what a session has running on this machine and remove its folder."""
    _proc.kill_task(None, f"{session}.")
    if folder is not None:
        remove_tree(folder)
    if containers:
        sweep(session)


def _remove(namespace: dict[str, str]) -> None:
    # Heavy, and only needed for sessions with a real cluster.
    from bridge.local._clusters import SessionNamespace, remove_namespace  # noqa: PLC0415

    remove_namespace(SessionNamespace(**namespace))


def main(words: list[str]) -> int:
    """Wait for the parent's last word; without one, clean up."""
    session, folder, containers, namespaces = words
    if sys.stdin.buffer.read():
        return 0
    try:
        clean_up(session, Path(folder) if folder else None, containers=containers == "1")
        for each in json.loads(namespaces):
            _remove(each)
    except BridgeError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0
