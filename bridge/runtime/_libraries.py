"""The shared libraries that programs need on this machine, found by asking their own loader."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bridge.errors import MissingToolError

_FOUND = re.compile(r"^\s*(\S+) => (/.+) \(0x[0-9a-f]+\)$")
_LOST = re.compile(r"^\s*(\S+) => not found")

# Opened by name while running, so no file says that it needs them: the unwinder of threads, and
# name resolution of C libraries that keep it in files of its own.
_BY_NAME = (
    "libgcc_s.so.1",
    "libresolv.so.2",
    "libnss_dns.so.2",
    "libnss_files.so.2",
)
_BY_NAME_FOLDERS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")


def needed(loader: Path, program: Path) -> dict[str, Path]:
    """Libraries of the program by the name it asks for them, those of its libraries included.

    MissingToolError when one of them is not on this machine.
    """
    answer = subprocess.run(
        [loader, "--list", program], capture_output=True, text=True, check=False, timeout=60
    )
    found: dict[str, Path] = {}
    for line in answer.stdout.splitlines():
        if lost := _LOST.match(line):
            raise MissingToolError(
                f"{program} needs the library {lost[1]}, which is not on this machine",
                hint="install the system package that has it",
            )
        if match := _FOUND.match(line):
            found[match[1]] = Path(match[2])
    return found


def opened_by_name(beside: Iterable[Path]) -> dict[str, Path]:
    """Libraries that are only opened while running, where the given libraries live."""
    folders = dict.fromkeys([p.parent for p in beside] + [Path(f) for f in _BY_NAME_FOLDERS])
    found: dict[str, Path] = {}
    for name in _BY_NAME:
        for folder in folders:
            if (folder / name).is_file():
                found[name] = folder / name
                break
    return found
