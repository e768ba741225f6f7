"""The dispatcher's code: a folder with our packages and the few distributions that they need.

It is made of the running environment where that is one that Lambda could have; else pip fetches
what is built for Lambda. The same environment gives the same folder: no caches, no times.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

from bridge.errors import MissingToolError

__all__ = ["architecture", "assemble", "runtime"]

# What of our own packages the dispatcher never imports.
_LEFT_OUT: Final = frozenset({"cli", "deploy", "images", "local", "operate", "runtime"})
_PACKAGES: Final = ("bridge", "lambda_runtime")
_BUILT: Final = ("PyYAML", "obstore")
# Chalice's own packager takes no more than these of it either: the rest makes deployments.
_CHALICE: Final = ("__init__.py", "app.py", "py.typed")
_NOT_CODE: Final = re.compile(r"(^|/)(__pycache__|sboms)(/|$)|\.pyc$|\.pyi$")
_NOT_METADATA: Final = frozenset({"INSTALLER", "RECORD", "REQUESTED", "direct_url.json"})
_MODE: Final = 0o644
_ARM: Final = frozenset({"aarch64", "arm64"})


def runtime() -> str:
    """Lambda's name of the managed runtime that fits this interpreter."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def architecture() -> Literal["arm64", "x86_64"]:
    """The processor that the folder is for: this machine's."""
    return "arm64" if platform.machine().lower() in _ARM else "x86_64"


def assemble(folder: Path) -> None:
    """Fill an empty folder. MissingToolError when a distribution is not to be had."""
    for name in _PACKAGES:
        _copy(_of_package(name), folder)
    chalice = _home("chalice")
    _copy(((chalice / name, f"chalice/{name}") for name in _CHALICE), folder)
    if _fits_lambda():
        for name in _BUILT:
            _copy(_of_distribution(name), folder)
    else:
        _fetch(folder)


def _fits_lambda() -> bool:
    return sys.platform == "linux" and platform.libc_ver()[0] == "glibc"


def _home(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingToolError(
            f"the Python package {package} is not installed",
            hint="pip install 'oscar-bridge[deploy]'",
        )
    return Path(next(iter(found.submodule_search_locations)))


def _of_package(name: str) -> Iterator[tuple[Path, str]]:
    home = _home(name)
    for path in home.rglob("*"):
        inside = path.relative_to(home)
        left_out = name == "bridge" and inside.parts[0] in _LEFT_OUT
        if path.is_file() and not left_out:
            yield path, f"{name}/{inside.as_posix()}"


def _of_distribution(name: str) -> Iterator[tuple[Path, str]]:
    for file in metadata.files(name) or ():
        path = Path(str(file.locate()))
        inside = file.as_posix()
        if ".." not in file.parts and path.is_file() and file.name not in _NOT_METADATA:
            yield path, inside


def _copy(files: Iterable[tuple[Path, str]], folder: Path) -> None:
    for source, inside in files:
        if _NOT_CODE.search(inside):
            continue
        target = folder / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(_MODE)


def _fetch(folder: Path) -> None:
    machine = "aarch64" if architecture() == "arm64" else "x86_64"
    wanted = [f"{name}=={metadata.version(name)}" for name in _BUILT]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps"]
    command += ["--target", str(folder), "--only-binary=:all:", "--implementation", "cp"]
    command += ["--platform", f"manylinux2014_{machine}", "--platform", f"manylinux_2_28_{machine}"]
    command += ["--python-version", f"{sys.version_info.major}.{sys.version_info.minor}", *wanted]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_NO_INPUT": "1"},
    )
    if done.returncode:
        raise MissingToolError(
            f"pip cannot fetch {', '.join(wanted)} for Lambda: {done.stderr.strip()}",
            hint="deploy from Linux, or make pip and a package index available",
        )
    for path in sorted(folder.glob("*.dist-info/*")):
        if path.name in _NOT_METADATA:
            path.unlink()
