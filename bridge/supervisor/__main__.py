"""`python -m bridge.supervisor [--reply | --serve | --version]`: see the job contract."""

from __future__ import annotations

import gc
import os
import sys

from bridge.supervisor._lazy import defer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_USAGE = "usage: python -m bridge.supervisor [--reply | --serve | --version]\n"


def main() -> NoReturn:
    """Run the entry that the arguments name and end the process with its status.

    Without the interpreter's own end: a transfer that was given up must not delay ours.
    """
    status = _run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run(arguments: list[str]) -> int:
    """What an entry does not need is not imported."""
    # Nothing of what is imported becomes garbage: looking for it takes a twentieth of our start.
    gc.disable()
    # dataclasses imports it, for classes without a docstring only: a sixth of our start.
    defer("inspect")
    if arguments == ["--version"]:
        from bridge import __version__  # noqa: PLC0415

        sys.stdout.write(f"oscar-bridge-supervisor {__version__}\n")
        return 0
    if arguments == ["--serve"]:
        from bridge.supervisor import serve  # noqa: PLC0415

        _collect_again()
        return serve.main()
    if arguments in ([], ["--reply"]):
        from bridge.supervisor import once  # noqa: PLC0415

        _collect_again()
        return once.main(arguments)
    sys.stderr.write(_USAGE)
    return 2


def _collect_again() -> None:
    """From here on garbage is looked for, but not among what has been imported."""
    gc.freeze()
    gc.enable()


if __name__ == "__main__":
    main()
