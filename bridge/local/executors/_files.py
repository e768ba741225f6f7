"""Removing what tasks leave behind."""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def remove_tree(folder: Path) -> None:
    """Remove a folder although scripts may have taken the permission to from themselves."""

    def allow(action: Callable[..., Any], path: str, _: BaseException) -> None:
        try:
            Path(path).parent.chmod(stat.S_IRWXU)
            if not Path(path).is_symlink():
                Path(path).chmod(stat.S_IRWXU)
            action(path)
        except OSError:
            return

    if sys.version_info >= (3, 12):
        shutil.rmtree(folder, onexc=allow)
    else:
        shutil.rmtree(folder, onerror=lambda action, path, info: allow(action, path, info[1]))
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
