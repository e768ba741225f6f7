"""The running interpreter: its program, its standard library, and what of it is left out."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import MissingToolError

# Parts of the standard library that no entry of ours uses.
_PACKAGES = frozenset(
    {
        "__phello__",
        "__pycache__",
        "curses",
        "dbm",
        "dist-packages",
        "distutils",
        "ensurepip",
        "idlelib",
        "lib-dynload",
        "lib2to3",
        "msilib",
        "pydoc_data",
        "site-packages",
        "sqlite3",
        "test",
        "tests",
        "tkinter",
        "turtledemo",
        "unittest",
        "venv",
        "wsgiref",
        "xmlrpc",
    }
)
_MODULES = ("__hello__", "_sysconfigdata", "doctest", "pydoc", "this", "turtle", "sitecustomize")
_EXTENSIONS = (
    "_codecs_",
    "_crypt",
    "_ctypes_test",
    "_curses",
    "_dbm",
    "_gdbm",
    "_lsprof",
    "_multibytecodec",
    "_sqlite3",
    "_test",
    "_tkinter",
    "_xx",
    "audioop",
    "nis",
    "ossaudiodev",
    "readline",
    "spwd",
    "xx",
)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Where the parts are on this machine, and the folder that the program looks for them in."""

    program: Path
    library: Path
    extensions: Path
    home: str  # relative to the runtime folder, for example lib/python3.11

    @property
    def name(self) -> str:
        """Name of the program, for example `python3.11`."""
        return Path(self.home).name

    def modules(self) -> Iterator[Path]:
        """Sources of the standard library that are kept, in order."""
        for place, folders, files in os.walk(self.library):
            folders[:] = sorted(name for name in folders if _is_kept_folder(name))
            for name in sorted(files):
                if name.endswith(".py") and not name.startswith(_MODULES):
                    yield Path(place, name)

    def compiled_extensions(self) -> Iterator[Path]:
        """Extension modules of the standard library that are kept, in order."""
        for path in sorted(self.extensions.glob("*.so")):
            if not path.name.startswith(_EXTENSIONS):
                yield path


def _is_kept_folder(name: str) -> bool:
    return name not in _PACKAGES and not name.startswith("config-")


def running() -> Interpreter:
    """The interpreter of this process (that of the base, in a virtual environment)."""
    if sys.platform != "linux":
        raise MissingToolError(
            f"the runtime folder is built on Linux only, and this is {sys.platform}",
            hint="build it on a Linux machine or in a Linux container, and copy the folder",
        )
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    base |= {"installed_base": sys.base_prefix, "installed_platbase": sys.base_exec_prefix}
    library = Path(sysconfig.get_path("stdlib", vars=base))
    platform = Path(sysconfig.get_path("platstdlib", vars=base))
    program = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    if not (library / "os.py").is_file():
        raise MissingToolError(
            f"the standard library of {program} is not in {library} as plain files",
            hint="run with a CPython that is installed with its sources",
        )
    return Interpreter(
        program=program,
        library=library,
        extensions=platform / "lib-dynload",
        home=f"{sys.platlibdir}/{library.name}",
    )
