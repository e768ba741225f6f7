"""A manager in a process of its own, to be killed or stopped.

    python -m tests.manager.victim FOLDER PORT

It prints `ready` and a second port, where it is served as `python -m manager` serves it.
"""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack
from pathlib import Path

from manager import serving
from manager.app import create_app
from tests.manager.conftest import serve

TOKEN = "a-token-of-the-store"


def main() -> None:
    with ExitStack() as stack:
        live = serve(Path(sys.argv[1]), stack, port=int(sys.argv[2]), token=TOKEN)
        listener = socket.create_server(("127.0.0.1", 0))

        def say() -> None:
            sys.stdout.write(f"ready {listener.getsockname()[1]}\n")
            sys.stdout.flush()

        serving.serve(create_app(live.manager), listener, say, live.manager.stopping)


if __name__ == "__main__":
    main()
