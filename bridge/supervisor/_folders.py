"""The work folder of one job: made, and removed whatever is in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

# pathlib, tempfile and shutil are left out: importing them costs the supervisor a fifth of its
# start.
# ruff: noqa: PTH100, PTH101, PTH102, PTH106, PTH108, PTH118

# Scripts make sockets in it, whose paths Linux limits to 107 bytes.
_NAME_LENGTH = 24
_OWNER_ONLY = 0o700


class WorkFolder(NamedTuple):
    """Where one job lives. The script runs in `path`; what it leaves there is removed."""

    path: str
    input: str
    output: str
    scratch: str


@contextmanager
def work_folder(base: str, job: str, warn: Callable[[str], object]) -> Iterator[WorkFolder]:
    """A new folder below `base` for the length of the block.

    What cannot be removed afterwards (files of another user) is said by `warn`.
    """
    name = f"bridge-{job[:_NAME_LENGTH]}-{os.urandom(6).hex()}"
    path = os.path.join(os.path.abspath(base), name)
    names = ("input", "output", "tmp")
    folders = [os.path.join(path, name) for name in names]
    os.mkdir(path, _OWNER_ONLY)
    try:
        for folder in folders:
            os.mkdir(folder)
        yield WorkFolder(path, *folders)
    finally:
        left = remove_tree(path)
        if left:
            warn(f"cannot remove {left[0]} and {len(left) - 1} more")


def remove_tree(path: str) -> list[str]:
    """Remove a folder with all that is below it, never what links lead to; what is left of it."""
    left: list[str] = []
    _remove(path, left)
    return left


def _remove(path: str, left: list[str]) -> None:
    try:
        # A script may have taken its own right to look into a folder.
        os.chmod(path, _OWNER_ONLY)
        with os.scandir(path) as entries:
            found = list(entries)
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.path, left)
            else:
                os.unlink(entry.path)
        os.rmdir(path)
    except OSError:
        left.append(path)
