"""Writes the folder. The same inputs give the same bytes, names, modes and times."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bridge import __version__
from bridge.errors import UsageError
from bridge.runtime._compile import Unit, cache_path, compile_all
from bridge.runtime._contents import Item, Kind, contents

_LAYOUT: Final = "1"  # part of the digest: raise it when the same items are written differently
_TIME: Final = 315532800  # 1980-01-01, the first moment that archives of every kind can hold


def digest(*, compile: bool = True) -> str:
    """64 hex digits that name the folder's content; the same inputs give the same digest.

    Inputs are the bytes of the interpreter, its libraries, our packages and certificates. Paths
    and times of this machine are not among them.
    """
    return _digest(contents(), compiled=compile)


def build(target: Path, *, compile: bool = True) -> Path:
    """Write the runtime folder at `target`, which is absent or an empty folder; returns `target`.

    The folder appears at once and whole. `compile` False leaves the compiled modules out: a
    smaller folder that starts slower. Every file is readable by all. UsageError when something is
    at `target`; MissingToolError on systems other than Linux and when a library is absent.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(
            f"{target} exists and is not an empty folder",
            hint="give the path of a new folder",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _write(work, contents(), compiled=compile)
        work.replace(target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return target


def _digest(items: Iterable[Item], *, compiled: bool) -> str:
    whole = hashlib.sha256()
    header = [_LAYOUT, platform.python_version(), platform.machine(), str(compiled)]
    whole.update("\0".join(header).encode())
    for item in items:
        content = hashlib.sha256(item.read()).hexdigest()
        whole.update(f"\n{item.target}\0{item.executable}\0{item.kind.value}\0{content}".encode())
    return whole.hexdigest()


def _write(folder: Path, items: list[Item], *, compiled: bool) -> None:
    for item in items:
        _write_file(folder / item.target, item.read(), executable=item.executable)
    if compiled:
        _compile(folder, items)
    facts = {
        "digest": _digest(items, compiled=compiled),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "version": __version__,
    }
    _write_file(folder / "runtime.json", (json.dumps(facts) + "\n").encode(), executable=False)
    _settle(folder)


def _write_file(path: Path, data: bytes, *, executable: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o755 if executable else 0o644)


def _compile(folder: Path, items: list[Item]) -> None:
    units = []
    for item in items:
        source = folder / item.target
        if item.kind is Kind.LIBRARY:
            units.append(Unit(str(source), f"{source}c", item.target))
        elif item.kind is Kind.MODULE:
            units.append(Unit(str(source), str(cache_path(source)), item.target))
    compile_all(units)
    for item in items:
        if item.kind is Kind.LIBRARY:
            (folder / item.target).unlink()


def _settle(folder: Path) -> None:
    """Fix modes and times, whatever the umask and the clock were."""
    for place, folders, files in os.walk(folder, topdown=False):
        for name in files:
            path = Path(place, name)
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            os.utime(path, (_TIME, _TIME))
        for name in [*folders, "."]:
            Path(place, name).chmod(0o755)
            os.utime(Path(place, name), (_TIME, _TIME))
