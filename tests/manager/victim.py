"""A manager in a process of its own, to be killed: `python -m tests.manager.victim FOLDER PORT`."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from tests.manager.conftest import serve

TOKEN = "a-token-of-the-store"


def main() -> None:
    with ExitStack() as stack:
        serve(Path(sys.argv[1]), stack, port=int(sys.argv[2]), token=TOKEN)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
