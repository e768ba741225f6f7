"""`python -m batch [--version]`: run the job of this container once."""

from __future__ import annotations

import os
import sys

from bridge.supervisor import defer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run and end the process: with the status of the job contract, or 2 for a wrong argument."""
    status = _run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # without waiting for transfers that were given up


def _run(arguments: list[str]) -> int:
    defer("inspect")  # a tenth of the start, and never used
    if arguments == ["--version"]:
        from bridge import __version__  # noqa: PLC0415

        sys.stdout.write(f"oscar-bridge-batch {__version__}\n")
        return 0
    if arguments:
        sys.stderr.write("usage: python -m batch [--version]\n")
        return 2
    from batch._run import run  # noqa: PLC0415
    from bridge.supervisor import Terminated, install_signals  # noqa: PLC0415

    install_signals()
    try:
        return run(os.environ).status
    except Terminated as signal:
        return 128 + signal.number


if __name__ == "__main__":
    main()
