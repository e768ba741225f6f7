"""What a connection does with credentials that change while it is in use."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bridge.errors import AccessError
from bridge.targets.kubernetes import ClusterSettings, Connection
from bridge.targets.kubernetes.resources import PODS

asked: list[str] = []


class Api(BaseHTTPRequestHandler):
    """An API server that knows the token `renewed`."""

    def do_GET(self) -> None:
        said = str(self.headers["Authorization"])
        asked.append(said)
        self.send_response(200 if said == "Bearer renewed" else 401)
        self.end_headers()
        self.wfile.write(b'{"gitVersion": "v1.34.0"}')

    def log_message(self, *_: object) -> None:
        """It need not be told."""


@pytest.fixture
def url() -> Iterator[str]:
    asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_token_that_was_renewed_on_disk_is_read_again(tmp_path: Path, url: str) -> None:
    token, config = tmp_path / "token", tmp_path / "config"
    token.write_text("first")
    config.write_text(
        json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {"tokenFile": str(token)}}],
            }
        )
    )
    connection = Connection(ClusterSettings(kubeconfig=str(config), namespace="here"))
    with pytest.raises(AccessError, match="does not know who asks"):
        connection.version()
    token.write_text("renewed")
    asked.clear()
    assert list(connection.watch(PODS, "1", labels="a=b", timeout=1.0))
    assert connection.version() == "v1.34.0"
    assert asked == ["Bearer first", "Bearer renewed", "Bearer renewed"]
    connection.close()
