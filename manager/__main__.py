"""`python -m manager`: serve in a cluster, configured by OSCAR's variables (docs/manager.md)."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import ExitStack
from typing import Final

import uvicorn

from bridge.errors import BridgeError
from manager.app import create_app
from manager.cluster import InCluster
from manager.settings import Reader

_LOG: Final = logging.getLogger("manager")
_GRACE: Final = 30
_PORT: Final = 8080


def main() -> int:
    """Serve until SIGTERM or SIGINT; 0 then, the error's own status when it cannot begin."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # The server stops by itself on these; what is behind it is stopped afterwards.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        with ExitStack() as stack:
            return _serve(InCluster(os.environ, stack))
    except BridgeError as error:
        _LOG.error("%s%s", error.message, f" ({error.hint})" if error.hint else "")
        return error.exit_status


def _serve(made: InCluster) -> int:
    port = Reader(os.environ).whole("OSCAR_SERVICE_PORT", _PORT)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(made.manager),
            host="0.0.0.0",  # noqa: S104  a container's own network
            port=port,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE,
        )
    )
    failed: list[BaseException] = []

    def start() -> None:
        # Beside the server: the object store looks for its webhook meanwhile.
        try:
            made.start()
        except BaseException as error:
            failed.append(error)
            server.should_exit = True

    starter = threading.Thread(target=start, name="manager-start", daemon=True)
    starter.start()
    server.run()
    starter.join()
    if failed:
        raise failed[0]
    return 0


if __name__ == "__main__":
    sys.exit(main())
