"""The one place of this package that reads files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from bridge.errors import FdlError, Problem
from bridge.fdl._document import parse
from bridge.fdl.model import Document

__all__ = ["load"]


def load(path: Path) -> Document:
    """The document in a file, with its scripts.

    A script's path is relative to the FDL file's folder, or absolute. Raises FdlError with every
    problem; a file that is missing, unreadable or not UTF-8 is one too.
    """
    try:
        text = _text(path)
    except UnicodeError as error:
        raise _problem(path, f"is not UTF-8 text: {error.args[-1]}", "save it as UTF-8") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise _problem(path, f"cannot be read: {reason}", "check the path") from error
    return parse(text, file=str(path), read_script=lambda script: _text(path.parent / script))


def _text(path: Path) -> str:
    """Text of a regular file, line ends kept. OSError also for what would never end."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file")
    return path.read_bytes().decode("utf-8")


def _problem(path: Path, what: str, hint: str) -> FdlError:
    return FdlError([Problem(str(path), 1, 1, "", f"the file {what}", hint)])
