"""Serve the manager's application from a program of its own, until it is told to stop."""

from __future__ import annotations

import gc
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Final

import uvicorn
from fastapi import FastAPI

from manager.patience import Patient
from manager.quiet import LARGEST, Silent

__all__ = ["BACKLOG", "StoppingServer", "serve"]

BACKLOG: Final = 2048
# Seconds for the answers that are under way when it is told to stop; Kubernetes waits no longer.
_GRACE: Final = 30
# Seconds for which a thread may keep Python to itself. The thread that answers is busy when many
# come at once, and the one that commits asks for its turn after each statement.
_TURN: Final = 0.0005


class StoppingServer(uvicorn.Server):
    """Says that it ends before it waits for what is open: streams would never end by themselves."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        self._stopping.set()
        await super().shutdown(sockets)


def serve(
    app: FastAPI, listener: socket.socket, start: Callable[[], None], stopping: threading.Event
) -> None:
    """Answer requests until SIGTERM or SIGINT, then finish those that are being answered.

    They have 30 seconds for it; new connections are refused meanwhile, and who waits for a job by
    a synchronous call is waited for too. `start` runs beside the server, which the object store
    may look for already; what it raises ends the server and is raised here. To be called by the
    main thread; `listener` is closed at the end. `stopping` is set for what would go on for ever.
    """
    sys.setswitchinterval(_TURN)
    # The server stops by itself on these; what is behind it is stopped afterwards, by the caller.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server = _server(app, stopping)
    failed: list[BaseException] = []

    def begin() -> None:
        try:
            start()
            # What is there now stays: to look through it again and again holds up every request.
            gc.collect()
            gc.freeze()
        except BaseException as error:
            failed.append(error)
            server.should_exit = True

    starter = threading.Thread(target=begin, name="manager-start", daemon=True)
    starter.start()
    with listener:
        server.run(sockets=[listener])
    starter.join()
    if failed:
        raise failed[0]


def _server(app: FastAPI, stopping: threading.Event) -> StoppingServer:
    return StoppingServer(
        uvicorn.Config(
            app,
            http=Patient,
            lifespan="off",
            ws=Silent,
            ws_max_size=LARGEST,
            log_config=None,
            access_log=False,
            server_header=False,
            # Whom to believe is a setting of ours.
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=_GRACE,
        ),
        stopping,
    )
