"""Runtime folders in the user's cache: built once, shared by processes, old ones removed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bridge.errors import UsageError
from bridge.runtime._build import build, digest

_KEPT: Final = 3
_UNUSED: Final = 7 * 24 * 3600.0  # seconds: a container may still have an older folder mounted


def cached() -> Path:
    """The runtime folder in `${XDG_CACHE_HOME:-~/.cache}/oscar-bridge/runtime/<digest>`.

    It is built when it is not there. Two processes at once get the same whole folder. Folders of
    other versions go away when they were not used for a week, but for the newest three.
    """
    root = _root()
    folder = root / digest()
    if not folder.is_dir():
        _build_once(folder)
        _remove_old(root, keep=folder)
    (root / f"{folder.name}.used").touch()
    return folder


def _root() -> Path:
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if given.startswith("/") else Path.home() / ".cache"
    return base / "oscar-bridge" / "runtime"


def _build_once(folder: Path) -> None:
    try:
        build(folder)
    except (OSError, UsageError):
        if not folder.is_dir():  # else another process was faster, and its folder is whole
            raise


def _remove_old(root: Path, *, keep: Path) -> None:
    by_use = sorted(_folders(root), key=_last_use, reverse=True)
    for folder in by_use[_KEPT:]:
        if folder != keep and time.time() - _last_use(folder) > _UNUSED:
            shutil.rmtree(folder, ignore_errors=True)
            (root / f"{folder.name}.used").unlink(missing_ok=True)


def _folders(root: Path) -> Iterator[Path]:
    return (path for path in root.iterdir() if path.is_dir())


def _last_use(folder: Path) -> float:
    mark = folder.parent / f"{folder.name}.used"
    try:
        return mark.stat().st_mtime
    except FileNotFoundError:
        return folder.stat().st_ctime
