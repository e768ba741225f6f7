"""One of several managers, in a process of its own: `python -m tests.engines.postgres.member FOLDER
PORT`, with its state in the database of BRIDGE_DATABASE_URL."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.command import ROOT, environment
from tests.manager.conftest import serve

TOKEN = "a-token-of-the-store"
_URL = "BRIDGE_DATABASE_URL"


@contextmanager
def member(folder: Path, port: int, url: str) -> Iterator[subprocess.Popen[str]]:
    """A manager that answers on the port; killed at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engines.postgres.member", str(folder), str(port)],
        cwd=ROOT,
        env=environment(**{_URL: url}),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def main() -> None:
    """Serve until it is killed."""
    with ExitStack() as stack:
        folder, port = Path(sys.argv[1]), int(sys.argv[2])
        serve(folder, stack, port=port, token=TOKEN, database=os.environ[_URL])
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
