"""The layer: an archive of the runtime folder as /opt/bridge. The same folder, the same bytes."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

_TIME: Final = 315532800  # 1980-01-01, as everywhere in the runtime folder
_PLACE: Final = "opt/bridge"
_LEVEL: Final = 6
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Layer:
    """A compressed layer in a file. `digest` is of the file, `diff_id` of what is in it."""

    path: Path
    size: int
    digest: str
    diff_id: str


def write(folder: Path, out: IO[bytes]) -> None:
    """Write the archive of a runtime folder, uncompressed.

    Everything is root's, nothing is writable by others, and names are sorted. `/opt` is part of it:
    some engines make an absent parent so that only root may enter it.
    """
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(_folder("opt"))
        archive.addfile(_folder(_PLACE))
        for path in sorted(folder.rglob("*")):
            _add(archive, path, f"{_PLACE}/{path.relative_to(folder).as_posix()}")


@contextlib.contextmanager
def compressed(folder: Path) -> Iterator[Layer]:
    """The layer of a runtime folder in a temporary file, gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="oscar-bridge-layer-") as place:
        path = Path(place) / "layer.tar.gz"
        with tempfile.TemporaryFile(dir=place) as plain:
            write(folder, plain)
            diff_id = _digest(plain)
            plain.seek(0)
            with path.open("wb") as file, gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
                shutil.copyfileobj(plain, packed, _CHUNK)
        with path.open("rb") as whole:
            digest = _digest(whole)
        yield Layer(path, path.stat().st_size, digest, diff_id)


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"  # type: ignore[arg-type]


def _folder(name: str) -> tarfile.TarInfo:
    made = _info(name, 0o755)
    made.type = tarfile.DIRTYPE
    return made


def _info(name: str, mode: int) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.mode, made.mtime = mode, _TIME
    return made


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    if path.is_dir():
        archive.addfile(_folder(name))
        return
    status = path.stat()
    file = _info(name, 0o755 if status.st_mode & 0o100 else 0o644)
    file.size = status.st_size
    with path.open("rb") as data:
        archive.addfile(file, data)
