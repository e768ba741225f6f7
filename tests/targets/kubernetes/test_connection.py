"""What a connection does with credentials that change while it is in use."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import AccessError, NotFoundError, PermanentError
from bridge.fdl.model import TargetSpec
from bridge.secret import Secret
from bridge.targets.kubernetes import ClusterSettings, Connection, KnativeTarget
from bridge.targets.kubernetes.resources import DEPLOYMENTS, PODS, SECRETS, Resource
from tests.targets.kubernetes.shapes import service

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


class Kept(Connection):
    """A connection to a cluster that has these objects of another service, and what is applied."""

    def __init__(self, *there: tuple[Resource, str]) -> None:
        super().__init__(ClusterSettings(namespace="here", runtime_image="runtime:1"))
        self.there = there
        self.made: set[tuple[Resource, str]] = set()

    @property
    def name(self) -> str:
        return "mine"

    def serves(self, resource: Resource) -> bool:
        return False

    def delete_all(self, resource: Resource, labels: str, *, namespace: str | None = None) -> None:
        """There is nothing with the labels of the service."""

    def _ask(self, verb: str, resource: Resource, *, name: str = "", **_: Any) -> dict[str, Any]:
        if (resource, name) in self.there:
            assert verb == "get", f"{verb} {resource} {name}"
            labels = {"app.kubernetes.io/managed-by": "oscar-bridge", "oscar_service": "another"}
            return {"metadata": {"labels": labels}, "spec": {"replicas": 1}}
        if verb == "get" and (resource, name) not in self.made:
            raise NotFoundError("it is not there")
        self.made.add((resource, name))
        return {"metadata": {"uid": "u", "resourceVersion": "1"}, "spec": {}}


def test_a_service_does_not_touch_what_another_one_has_under_the_same_name() -> None:
    """`web-dpl` is a Deployment of `web`, or of a service of that name; so is a Secret."""
    cluster = Kept((DEPLOYMENTS, "web-dpl"), (SECRETS, "x-providers"))
    place = KnativeTarget(TargetSpec("k", "knative"), cluster, {})
    place.deploy([service(name="web")])
    place.remove(["web", "x"])
    assert place.servers.status("web").state == "unavailable"
    with pytest.raises(NotFoundError, match="has no copies"):
        place.servers.stop("web")
    with pytest.raises(PermanentError, match="or of another service"):
        place.deploy([service(name="x-providers", secrets={"S": Secret("s3cret")})])
    # Without a Secret of its own it has none to remove either.
    place.deploy([service(name="x")])
    assert (DEPLOYMENTS, "x") in cluster.made
