"""The local object store: MinIO's S3 API and bucket notifications, from one program.

Data path: `bridge.storage` (see `MinioServer.provider`). Here is the server's life; buckets and
rules are those of any MinIO server.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from types import TracebackType
from typing import Self

from bridge.local._gateway import REGION, WEBHOOK, Credentials, Gateway, Webhook, stored_credentials
from bridge.secret import Secret
from bridge.storage.minio import MinioServer, Rule, ServerSettings

__all__ = ["Credentials", "ObjectStore", "Rule", "Webhook"]


class ObjectStore(MinioServer):
    """One server on one data folder, bound to `address` (loopback, or the container bridge).

    `webhook` gets the events and must answer when `start` is called; without it there are none.
    Credentials are generated with the folder and kept in it. A store that was killed starts again
    on the same folder with its objects and rules, by the same object on the same port.
    """

    def __init__(
        self,
        folder: Path,
        webhook: Webhook | None = None,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.credentials = stored_credentials(folder.resolve())
        self._gateway = Gateway(folder.resolve(), self.credentials, webhook, address, port)
        self._named = WEBHOOK if webhook else ""
        super().__init__(self._reached())

    def _reached(self) -> ServerSettings:
        return ServerSettings(
            self.endpoint,
            Secret(self.credentials.access_key),
            self.credentials.secret_key,
            REGION,
            verify=False,
            webhook=self._named,
        )

    @property
    def endpoint(self) -> str:
        """URL for programs on this machine; known after `start`."""
        return f"http://{self._gateway.address}:{self._gateway.port}"

    @property
    def container_endpoint(self) -> str | None:
        """URL for containers; None when bound to loopback, which they cannot reach."""
        loopback = ipaddress.ip_address(self._gateway.address).is_loopback
        return None if loopback else self.endpoint

    @property
    def alive(self) -> bool:
        """True while the server's process runs."""
        return self._gateway.alive

    @property
    def pid(self) -> int | None:
        """Process id of the server, None before the first start."""
        return self._gateway.pid

    def start(self) -> None:
        """Run the server if it does not; returns when it answers and every rule is in force."""
        if self._gateway.alive:
            return
        self._client = None
        self._gateway.start()
        self.settings = self._reached()
        self.put_again()

    def close(self) -> None:
        """Stop the server; the data folder stays."""
        self._client = None
        self._gateway.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
