"""The environment's temporary folder: what one invocation leaves there, the next does not see."""

# pathlib and shutil are left out: importing them is a fifth of a cold start.
# ruff: noqa: PTH101, PTH106, PTH108, PTH112, PTH114, PTH118, PTH208
from __future__ import annotations

import os
import stat


class Scratch:
    """A folder that belongs to this environment alone, and what was in it before any invocation.

    It is `BRIDGE_SCRATCH`, else /tmp where the root file system is read-only, as it is on Lambda.
    Elsewhere (a laptop, where /tmp is everybody's) there is none, and `clean` does nothing.
    """

    def __init__(self) -> None:
        self._folder = _folder()
        self._kept = frozenset(self._names())

    def clean(self) -> list[str]:
        """Remove what is new in the folder; the answer is what could not be removed."""
        paths = [os.path.join(self._folder, name) for name in sorted(self._names() - self._kept)]
        for path in paths:
            _remove(path)
        return [path for path in paths if os.path.lexists(path)]

    def _names(self) -> set[str]:
        try:
            return set(os.listdir(self._folder)) if self._folder else set()
        except OSError:
            return set()


def _folder() -> str:
    given = os.environ.get("BRIDGE_SCRATCH", "")
    if given:
        return given
    return "/tmp" if os.statvfs("/").f_flag & os.ST_RDONLY else ""  # noqa: S108


def _remove(path: str) -> None:
    """Remove a file or a tree, also where a script took the permissions away from itself.

    `clean` looks at what is left, so nothing is said of it here.
    """
    try:
        if os.path.islink(path) or not os.path.isdir(path):
            os.unlink(path)
            return
        os.chmod(path, stat.S_IRWXU)
        with os.scandir(path) as found:
            inner = [entry.path for entry in found]
        for one in inner:
            _remove(one)
        os.rmdir(path)
    except OSError:
        return
