"""A TCP proxy in front of an API server that can cut what goes through it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import yaml


class Cutter:
    """Passes bytes on. `cut` ends all connections, `closed` takes no new ones while it lasts."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._deaf = False
        self.port = self._listener.getsockname()[1]
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections."""
        with self._lock:
            ended, self._open = self._open, set()
        self.cuts += bool(ended)
        for one in ended:
            _end(one)

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Nothing goes through, as while the server restarts."""
        self._deaf = True
        self.cut()
        try:
            yield
        finally:
            self._deaf = False

    def close(self) -> None:
        """End it."""
        _end(self._listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                incoming, _ = self._listener.accept()
            except OSError:
                return
            if self._deaf:
                incoming.close()
                continue
            outgoing = socket.create_connection(self._upstream)
            with self._lock:
                self._open |= {incoming, outgoing}
            for one, other in ((incoming, outgoing), (outgoing, incoming)):
                threading.Thread(target=_pass, args=(one, other), daemon=True).start()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for one in (source, sink):
        _end(one)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextlib.contextmanager
def cutter(folder: Path) -> Iterator[tuple[Cutter, str]]:
    """A proxy in front of the cluster of KUBECONFIG, and a kubeconfig that leads through it."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    (cluster,) = config["clusters"]
    server = urlsplit(cluster["cluster"]["server"])
    made = Cutter(server.hostname, server.port)
    cluster["cluster"] |= {
        "server": f"https://127.0.0.1:{made.port}",
        "tls-server-name": server.hostname,
    }
    path = folder / "through-the-cutter"
    path.write_text(yaml.safe_dump(config))
    try:
        yield made, str(path)
    finally:
        made.close()
