"""What goes into the folder: a sorted list of items, each with its place, mode and bytes."""

from __future__ import annotations

import importlib.util
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from bridge.errors import MissingToolError
from bridge.runtime._elf import interpreter as loader_of
from bridge.runtime._elf import strip
from bridge.runtime._interpreter import Interpreter, running
from bridge.runtime._launcher import ENTRIES, launcher
from bridge.runtime._libraries import needed, opened_by_name

# Ours, as they are named in the source tree; a folder means all that is in it.
_OURS = {
    "bridge": ("__init__.py", "errors.py", "secret.py", "events", "storage", "supervisor"),
    "lambda_runtime": ("",),
    "batch": ("",),
    "obstore": ("",),
}
_NOT_DATA = {".pyi", ".pyc", ".so"}
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


class Kind(Enum):
    """How an item is treated."""

    FILE = "file"
    BINARY = "binary"  # without debug information
    MODULE = "module"  # a source of ours, kept beside its compiled form
    LIBRARY = "library"  # a source of the standard library, replaced by its compiled form


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """One file of the folder. `source` is None when the bytes are in `text`."""

    target: str
    source: Path | None = None
    text: str = ""
    executable: bool = False
    kind: Kind = Kind.FILE

    def read(self) -> bytes:
        """The bytes as they go into the folder."""
        if self.source is None:
            return self.text.encode()
        data = self.source.read_bytes()
        return strip(data) if self.kind is Kind.BINARY else data


def contents() -> list[Item]:
    """Everything but the compiled modules and `runtime.json`, sorted by target."""
    python = running()
    loader = Path(loader_of(python.program.read_bytes()))
    if not loader.name:
        raise MissingToolError(
            f"{python.program} is not a dynamically linked 64-bit Linux program",
            hint="run with a CPython of your distribution, uv or pyenv",
        )
    binaries = [
        Item(f"bin/{python.name}", python.program, executable=True, kind=Kind.BINARY),
        *_extensions(python),
        *(item for item in _packages(python) if item.kind is Kind.BINARY),
    ]
    items = [
        *binaries,
        *_libraries(loader, [b.source for b in binaries if b.source]),
        *(item for item in _packages(python) if item.kind is not Kind.BINARY),
        *_standard_library(python),
        *_launchers(loader, python),
        Item(f"{python.home}/bridge_start.py", _beside("_start.py"), kind=Kind.MODULE),
        Item("ssl/cert.pem", _certificates()),
    ]
    return sorted(items, key=lambda item: item.target)


def _extensions(python: Interpreter) -> Iterator[Item]:
    for path in python.compiled_extensions():
        target = f"{python.home}/lib-dynload/{path.name}"
        yield Item(target, path, executable=True, kind=Kind.BINARY)


def _standard_library(python: Interpreter) -> Iterator[Item]:
    for path in python.modules():
        target = f"{python.home}/{path.relative_to(python.library)}"
        yield Item(target, path, kind=Kind.LIBRARY)


def _libraries(loader: Path, programs: list[Path]) -> Iterator[Item]:
    found: dict[str, Path] = {}
    for program in programs:
        found |= needed(loader, program)
    found |= opened_by_name(found.values())
    found.pop(loader.name, None)
    yield Item(f"lib/{loader.name}", loader, executable=True, kind=Kind.BINARY)
    for name, path in found.items():
        yield Item(f"lib/{name}", path, executable=True, kind=Kind.BINARY)


def _launchers(loader: Path, python: Interpreter) -> Iterator[Item]:
    for entry in ENTRIES:
        text = launcher(entry, loader=loader.name, python=python.name)
        yield Item(f"bin/{entry}", text=text, executable=True)


def _packages(python: Interpreter) -> Iterator[Item]:
    for package, parts in _OURS.items():
        folder = _package_folder(package)
        for path in _files(folder, parts):
            target = f"{python.home}/{package}/{path.relative_to(folder)}"
            if path.suffix == ".so":
                yield Item(target, path, executable=True, kind=Kind.BINARY)
            elif path.suffix not in _NOT_DATA:
                yield Item(target, path, kind=Kind.MODULE if path.suffix == ".py" else Kind.FILE)


def _files(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    for part in parts:
        place = folder / part
        if place.is_file():
            yield place
        else:
            yield from (p for p in sorted(place.rglob("*")) if p.is_file())


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingToolError(
            f"the Python package {package} is not installed",
            hint="reinstall oscar-bridge: pip install --force-reinstall oscar-bridge",
        )
    return Path(spec.origin).parent


def _certificates() -> Path:
    places = [*_BUNDLES, ssl.get_default_verify_paths().cafile or ""]
    for place in places:
        if place and Path(place).is_file():
            return Path(place).resolve()
    for package in ("certifi", "botocore"):
        spec = importlib.util.find_spec(package)
        if spec and spec.origin and (bundle := Path(spec.origin).parent / "cacert.pem").is_file():
            return bundle
    raise MissingToolError(
        "no bundle of certificate authorities is on this machine",
        hint="install the system package ca-certificates, or pip install certifi",
    )


def _beside(name: str) -> Path:
    return Path(__file__).with_name(name)
