"""uvicorn's WebSockets, which say nothing in the log."""

from __future__ import annotations

import logging
from typing import Any, Final

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

__all__ = ["LARGEST", "Silent"]

# Bytes of one message.
LARGEST: Final = 10 * 2**20


class Silent(WSProtocol):
    """uvicorn's own writes each URL with its query to the log: there a token may be."""

    def __init__(self, *some: Any, **more: Any) -> None:
        super().__init__(*some, **more)
        self.logger = logging.getLogger("manager.websocket")
        self.logger.setLevel(logging.WARNING)
