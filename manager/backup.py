"""The manager's state as one file, taken while it runs, and back again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import tarfile
import tempfile
import time
import zlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from bridge import __version__
from bridge.errors import PermanentError, UsageError

__all__ = ["backup", "restore"]

# Jobs first: then every service that they name is in the copy that is taken after them, unless it
# was deleted meanwhile, which fails its jobs as it would have done anyway.
_DATABASES: Final = ("jobs.sqlite", "manager.sqlite")
_MANIFEST: Final = "backup.json"
_FORMAT: Final = 1


def backup(folder: Path, file: Path) -> int:
    """Write the state in a folder to a file, which only its owner can read; its size in bytes.

    A manager may run on it meanwhile: the copy is the state at one moment, with all that had been
    acknowledged before. Objects are not in it, nor the key that its secrets are sealed with. The
    file is whole or not there; an older one is replaced. UsageError when there is no state,
    PermanentError when it cannot be read or written.
    """
    missing = [name for name in _DATABASES if not (folder / name).is_file()]
    if missing:
        hint = "name the folder of BRIDGE_STATE, or that of `up --keep`"
        raise UsageError(f"{folder} holds no state of a manager: no {missing[0]}", hint=hint)
    try:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as name:
            made = Path(name) / "made"
            made.touch(mode=0o600)
            with tarfile.open(made, "w:gz", compresslevel=1) as archive:
                _write(archive, folder, Path(name))
            with made.open("rb") as written:
                os.fsync(written.fileno())
            made.replace(file)
    except (OSError, sqlite3.Error) as error:
        raise PermanentError(f"cannot back up {folder} to {file}: {error}") from error
    return file.stat().st_size


def _write(archive: tarfile.TarFile, folder: Path, room: Path) -> None:
    digests = {}
    for name in _DATABASES:
        copy = room / name
        copy.touch(mode=0o600)
        # All pages in one step: a step that follows another begins anew when there was a write.
        with closing(_opened(folder / name)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        digests[name] = _digest(copy)
        archive.add(copy, name)
        copy.unlink()
    manifest = {"format": _FORMAT, "version": __version__, "at": time.time(), "sha256": digests}
    text = json.dumps(manifest).encode()
    entry = tarfile.TarInfo(_MANIFEST)
    entry.size = len(text)
    archive.addfile(entry, io.BytesIO(text))


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=30)


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def restore(file: Path, folder: Path) -> float:
    """Put the state in a backup into a folder that has none; when it was taken (epoch seconds).

    UsageError when the folder has state already or the file is no backup; PermanentError when it is
    damaged or cannot be read. Nothing is left in the folder then.
    """
    there = [name for name in _DATABASES if (folder / name).exists()]
    if there:
        hint = "stop the manager and move the folder away"
        raise UsageError(f"{folder} holds state already: {there[0]}", hint=hint)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".restore.") as name:
            room = Path(name)
            manifest = _read(file, room)
            _check(manifest, room, file)
            for one in _DATABASES:
                (room / one).replace(folder / one)
    except (OSError, sqlite3.Error) as error:
        raise PermanentError(f"cannot restore {file} to {folder}: {error}") from error
    return float(manifest["at"])


def _read(file: Path, room: Path) -> Mapping[str, Any]:
    """Unpack what we know by name, and nothing else; the manifest."""
    manifest: Any = None
    try:
        with tarfile.open(file, "r:gz") as archive:
            for entry in archive:
                content = archive.extractfile(entry) if entry.isreg() else None
                if content is not None and entry.name == _MANIFEST:
                    manifest = json.load(content)
                elif content is not None and entry.name in _DATABASES:
                    _copy(content, room / entry.name)
    except (tarfile.TarError, EOFError, ValueError, zlib.error) as error:
        raise UsageError(f"{file} is not a whole backup: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise UsageError(f"{file} is not a backup that this version of oscar-bridge knows")
    return manifest


def _copy(content: Any, path: Path) -> None:
    path.touch(mode=0o600)
    with path.open("wb") as target:
        while block := content.read(1 << 20):
            target.write(block)
        target.flush()
        os.fsync(target.fileno())


def _check(manifest: Mapping[str, Any], room: Path, file: Path) -> None:
    for name in _DATABASES:
        path = room / name
        if not path.exists() or _digest(path) != manifest["sha256"].get(name):
            raise PermanentError(f"{file} is damaged: {name} is not what was written")
        with closing(_opened(path)) as database:
            (said,) = database.execute("PRAGMA quick_check").fetchone()
        if said != "ok":
            raise PermanentError(f"{file} is damaged: {name}: {said}")
