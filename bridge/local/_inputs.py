"""Which files are handed to which services, worked out before anything is started."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import UsageError
from bridge.fdl.model import Document, Service, StoragePath
from bridge.pipeline import Routes, build

__all__ = ["Awaited", "Handover", "plan_handovers"]


@dataclass(frozen=True, slots=True)
class Awaited:
    """A job that must come: an object in an input path of a service."""

    service: str
    provider: str
    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class Handover:
    """One file to hand in: an object that starts `services`, or without `place` a request to one.

    `name` is relative to the folder that was given; `size` in bytes.
    """

    path: Path
    name: str
    size: int
    services: tuple[str, ...]
    place: StoragePath | None = None

    @property
    def key(self) -> str:
        """The object's key; the file's name for a request."""
        return self.place.key_for(self.name) if self.place else self.name

    def awaited(self) -> Iterator[Awaited]:
        """The jobs that the object must start; none for a request, which is one itself."""
        if self.place is not None:
            for service in self.services:
                yield Awaited(service, str(self.place.provider), self.place.bucket, self.key)


def plan_handovers(document: Document, routes: Routes, inputs: Sequence[Path]) -> list[Handover]:
    """What to hand in of files and folders (file by file) to the services that no other feeds.

    A service with an input path gets objects, into the first of its paths that takes them; one
    without gets requests. FdlError for a cycle. UsageError: a file cannot be read, two files would
    get one name, there is no file, or no service takes any of them. Single files that no service
    takes are left out.
    """
    files = _named(inputs)
    waiting = _waiting(document)
    found: dict[tuple[str, str, str], Handover] = {}
    for name, path in files.items():
        for made in _handovers(name, path, waiting, routes):
            place = str(made.place.path) if made.place else made.services[0]
            provider = str(made.place.provider) if made.place else ""
            found.setdefault((provider, place, made.key), made)
    if not found:
        raise UsageError(
            "no service takes any of the input files",
            hint="look at prefix and suffix of: " + _ends(waiting),
        )
    return list(found.values())


def _handovers(
    name: str, path: Path, waiting: Sequence[tuple[Service, list[StoragePath]]], routes: Routes
) -> Iterator[Handover]:
    size = path.stat().st_size
    for service, places in waiting:
        if not service.inputs:
            yield Handover(path, name, size, (service.name,))
        for place in places:
            wanted = routes.match(str(place.provider), place.bucket, place.key_for(name))
            if service.name in wanted:
                yield Handover(path, name, size, wanted, place)
                break


def _waiting(document: Document) -> list[tuple[Service, list[StoragePath]]]:
    """Services that wait for files from outside, with the paths where they do."""
    places: dict[str, list[StoragePath]] = {}
    for end in build(document).sources:
        places.setdefault(end.service, []).append(end.path)
    return [
        (service, places.get(service.name, []))
        for service in document.services
        if service.name in places or not service.inputs
    ]


def _ends(waiting: Iterable[tuple[Service, list[StoragePath]]]) -> str:
    return ", ".join(f"{service.name} ({place.path})" for service, s in waiting for place in s)


def _named(inputs: Sequence[Path]) -> dict[str, Path]:
    """Files by the names that they get."""
    named: dict[str, Path] = {}
    for given in inputs:
        for name, path in _files(given):
            _check(name, path)
            other = named.setdefault(name, path)
            if other != path:
                raise UsageError(
                    f"two input files would both be called {name}: {other} and {path}",
                    hint="give the folder above them, or rename one",
                )
    if not named:
        raise UsageError("there is no input file", hint="give files, or folders with files")
    return named


def _files(given: Path) -> Iterator[tuple[str, Path]]:
    if not given.exists():
        raise UsageError(f"input {given}: no such file or folder")
    if given.is_file():
        yield given.resolve().name if given.name in ("", "..") else given.name, given
    elif given.is_dir():
        for found in sorted(given.rglob("*")):
            if found.is_file():
                yield found.relative_to(given).as_posix(), found
    else:
        raise UsageError(f"input {given} is neither a file nor a folder")


def _check(name: str, path: Path) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"input {str(path)!r}: the name is not UTF-8 text") from None
    if not os.access(path, os.R_OK):
        raise UsageError(f"input {path} cannot be read: permission denied")
