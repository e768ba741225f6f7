"""`python -m manager`: serve in a cluster, configured by OSCAR's variables (docs/manager.md)."""

from __future__ import annotations

import logging
import os
import socket
import sys
from contextlib import ExitStack
from typing import Final

from bridge.errors import BridgeError, PermanentError
from manager._logs import set_up
from manager.app import create_app
from manager.cluster import InCluster
from manager.configuration import configuration
from manager.serving import BACKLOG, serve
from manager.settings import Reader

_LOG: Final = logging.getLogger("manager")
_HOST: Final = "0.0.0.0"  # noqa: S104  a container's own network
_PORT: Final = 8080


def main() -> int:
    """Serve until SIGTERM or SIGINT; 0 then, the error's own status when it cannot begin."""
    set_up(os.environ.get("BRIDGE_LOG", ""))
    try:
        given = configuration(os.environ)
        set_up(given.get("BRIDGE_LOG", ""))
        with ExitStack() as stack:
            made = InCluster(given, stack)
            listener = _listener(Reader(given).whole("OSCAR_SERVICE_PORT", _PORT))
            serve(create_app(made.manager), listener, made.start, made.manager.stopping)
    except BridgeError as error:
        _LOG.error("%s%s", error.message, f" ({error.hint})" if error.hint else "")
        return error.exit_status
    return 0


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port), backlog=BACKLOG)
    except OSError as error:
        raise PermanentError(f"cannot listen on port {port}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
