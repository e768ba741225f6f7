"""Local files on their way in: a name of their own until they are whole."""

# pathlib is left out: importing it costs the supervisor a tenth of its start.
# ruff: noqa: PTH105, PTH108, PTH118, PTH120, PTH123

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, BinaryIO

from bridge.errors import PermanentError

if TYPE_CHECKING:
    from bridge.storage.protocol import StrPath

_numbers = count()


@contextmanager
def whole_file(target: StrPath) -> Iterator[BinaryIO]:
    """A file to write that becomes `target` at the end of the block, or nothing on any error.

    Raises PermanentError when the disk refuses (full, read-only, no such folder).
    """
    final = os.fspath(target)
    part = os.path.join(os.path.dirname(final), f".bridge-{os.getpid()}-{next(_numbers)}.part")
    try:
        with open(part, "wb") as file:
            yield file
        os.replace(part, final)
    except BaseException as error:
        _remove(part)
        if isinstance(error, OSError):
            raise PermanentError(f"cannot write {final}: {error.strerror or error}") from error
        raise


def _remove(path: str) -> None:
    # The error that brought us here is the one to report.
    try:
        os.unlink(path)
    except OSError:
        return


def open_source(source: StrPath) -> BinaryIO:
    """Open a file to send; PermanentError when it cannot be read."""
    try:
        return open(source, "rb")
    except OSError as error:
        raise PermanentError(f"cannot read {os.fspath(source)}: {error.strerror}") from error
