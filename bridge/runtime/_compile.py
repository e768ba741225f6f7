"""Compiled modules that are the same on every build and that a read-only mount never checks.

One fresh interpreter compiles everything in order with a fixed hash seed: what it writes does not
depend on what this process did before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from bridge.errors import PermanentError

_KEPT = ("HOME", "LD_LIBRARY_PATH", "PATH")

_PROGRAM: Final = """\
import json, py_compile, sys
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
for source, target, name in json.load(sys.stdin):
    py_compile.compile(source, target, name, doraise=True, optimize=0, invalidation_mode=mode)
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """One module: where its source is, where the result goes, the name shown in tracebacks."""

    source: str
    target: str
    name: str


def compile_all(units: Sequence[Unit]) -> None:
    """Compile in the order given. PermanentError when a source does not compile."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment["PYTHONHASHSEED"] = "0"
    done = subprocess.run(
        [sys.executable, "-S", "-s", "-B", "-X", "utf8", "-c", _PROGRAM],
        input=json.dumps([astuple(unit) for unit in units]),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PermanentError(f"the runtime's modules do not compile: {done.stderr.strip()}")


def cache_path(module: Path) -> Path:
    """Where the interpreter looks for the compiled form of a source that is kept."""
    return module.parent / "__pycache__" / f"{module.stem}.{sys.implementation.cache_tag}.pyc"
