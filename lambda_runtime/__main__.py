"""`python -m lambda_runtime [--version]`: serve invocations until the environment ends."""

from __future__ import annotations

import os
import sys

from bridge.supervisor import defer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Serve and end the process: with 2 for a wrong start, with 1 when the service could not be
    loaded or the Runtime API went away, with 128 and the signal's number after a signal."""
    status = _run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # without waiting for transfers that were given up


def _run(arguments: list[str]) -> int:
    defer("inspect")  # a tenth of the start, and never used
    if arguments == ["--version"]:
        from bridge import __version__  # noqa: PLC0415

        sys.stdout.write(f"oscar-bridge-lambda {__version__}\n")
        return 0
    if arguments:
        sys.stderr.write("usage: python -m lambda_runtime [--version]\n")
        return 2
    from lambda_runtime._loop import serve  # noqa: PLC0415

    return serve(os.environ)


if __name__ == "__main__":
    main()
