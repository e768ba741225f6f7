"""Which program runs a script, and the script's file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from bridge.errors import PermanentError

# pathlib is left out: importing it costs the supervisor a tenth of its start.
# ruff: noqa: PTH101, PTH113, PTH118, PTH123

SHELL = "/bin/sh"
# Where upstream's /bin/sh has always run such scripts, a missing shell is no reason to stop.
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})
_BOM = b"\xef\xbb\xbf"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NoScriptError(PermanentError):
    """There is nothing to run, or nothing to run it with."""

    code = "no-script"


def prepare(
    script: bytes, path: str, env: Mapping[str, str], warn: Callable[[str], object]
) -> list[str]:
    """Write the script to `path` and return the command that runs it.

    A `#!` line is honoured; without one, /bin/sh. Windows line ends become plain ones. A shell
    that is not there is replaced by /bin/sh, with a warning; any other missing interpreter raises
    NoScriptError.
    """
    binary = b"\0" in script
    text = script if binary else script.removeprefix(_BOM).replace(b"\r\n", b"\n")
    with open(path, "wb") as file:
        file.write(text)
    os.chmod(path, 0o700)
    if binary:
        return [path]
    return [*_interpreter(text, env, warn), path]


def _interpreter(text: bytes, env: Mapping[str, str], warn: Callable[[str], object]) -> list[str]:
    words = _shebang(text)
    if not words:
        return [_shell()]
    program, arguments = words[0], words[1:]
    if os.path.basename(program) == "env" and arguments:  # noqa: PTH119
        return _by_name(arguments, env, warn)
    if _runs(program):
        return words
    return _instead(program, warn)


def _by_name(
    arguments: list[str], env: Mapping[str, str], warn: Callable[[str], object]
) -> list[str]:
    """`#!/usr/bin/env name`, resolved here so that a missing program is named."""
    arguments = " ".join(arguments).removeprefix("-S ").split()
    if not arguments or arguments[0].startswith("-") or "=" in arguments[0]:
        return ["/usr/bin/env", *arguments]
    found = _find(arguments[0], env.get("PATH") or _DEFAULT_PATH)
    return [found, *arguments[1:]] if found else _instead(arguments[0], warn)


def _instead(program: str, warn: Callable[[str], object]) -> list[str]:
    if os.path.basename(program) in _SHELLS:  # noqa: PTH119
        warn(f"{program} is not in the image, {SHELL} runs the script")
        return [_shell()]
    raise NoScriptError(f"the script's interpreter {program} is not in the image")


def _shebang(text: bytes) -> list[str]:
    """The words of the first line as the kernel splits it: the program and one argument."""
    if not text.startswith(b"#!"):
        return []
    line = text[2:].split(b"\n", 1)[0].decode("utf-8", "surrogateescape").strip()
    return line.split(None, 1)


def _shell() -> str:
    if not _runs(SHELL):
        raise NoScriptError(f"there is no {SHELL} in the image")
    return SHELL


def _find(name: str, path: str) -> str:
    if "/" in name:
        return name if _runs(name) else ""
    places = (os.path.join(folder or ".", name) for folder in path.split(":"))
    return next((place for place in places if _runs(place)), "")


def _runs(program: str) -> bool:
    return os.path.isfile(program) and os.access(program, os.X_OK)
