"""`python -m bridge.local.aws`: one AWS endpoint on this machine, as long as its parent lives."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from bridge.errors import BridgeError
from bridge.local.aws._service import Options, run
from bridge.local.aws.model import Settings


def main(words: list[str]) -> int:
    """Serve until the end of standard input, the end of the parent, or SIGTERM."""
    try:
        run(_options(words))
    except BridgeError as error:
        print(error, f"({error.hint})" if error.hint else "", file=sys.stderr)
        return error.exit_status
    return 0


def _options(words: list[str]) -> Options:
    parser = argparse.ArgumentParser("python -m bridge.local.aws", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--engine", default="process", choices=["process", "container"])
    parser.add_argument("--runtime", type=Path, help="folder mounted as /opt/bridge")
    parser.add_argument("--session", required=True, help="marks everything that is started")
    parser.add_argument("--folder", type=Path, required=True, help="for its files; is removed")
    parser.add_argument("--settings", type=_settings, default=Settings(), help="JSON")
    given = parser.parse_args(words)
    return Options(**vars(given))


def _settings(text: str) -> Settings:
    values: dict[str, Any] = json.loads(text)
    if "retry_delays" in values:
        values["retry_delays"] = tuple(values["retry_delays"])
    return Settings(**values)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of the emulator may wait for ever; all that matters is cleaned up by now.
    os._exit(status)
