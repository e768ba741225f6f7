"""Synchronous calls of services on a real cluster."""

from __future__ import annotations

import base64
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from bridge.errors import NotFoundError, TargetUnavailable
from bridge.fdl.model import Service, TargetSpec
from bridge.fdl.options import OscarOptions, Synchronous
from bridge.targets.kubernetes import ClusterSettings, Connection, KnativeTarget
from bridge.targets.kubernetes.resources import (
    DEPLOYMENTS,
    KNATIVE_SERVICES,
    PODS,
    SCALERS,
    SERVICES,
)
from tests.command import bridge, write
from tests.engines.kubernetes.conftest import Kinds
from tests.engines.kubernetes.jobs import end, job, service, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]

SCRIPT = """
case "$CONT_VAR_do" in
  copy) cp "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/copy" ;;
  fail) echo before; exit 3 ;;
  env) env ;;
  stay) echo "begun $CONT_VAR_me"; sleep 300 & wait ;;
  leave) echo "begun $CONT_VAR_me"; sleep 3; echo left ;;
  *) echo "hello from $(cat /etc/hostname)" ;;
esac
"""


@pytest.fixture(scope="module")
def target(module_namespace: str, runtime_image: str) -> Iterator[KnativeTarget]:
    """A target in the module's namespace."""
    settings = ClusterSettings(namespace=module_namespace, runtime_image=runtime_image)
    made = KnativeTarget(TargetSpec("my-k8s", "knative"), Connection(settings), {})
    yield made
    made.close()


@pytest.fixture(scope="module")
def called(target: KnativeTarget) -> Service:
    """A service with one copy that is ready."""
    options = OscarOptions(synchronous=Synchronous(min_scale=1, max_scale=1))
    made = service(SCRIPT, options=options)
    target.deploy([made])
    until(lambda: target.servers.status(made.name).state == "ready", "a ready copy")
    return made


def call(target: KnativeTarget, name: str, query: str = "", body: Any = b"") -> tuple[int, bytes]:
    """Status and body of one call."""
    reply = target.invoke(name, body, {"Authorization": "Bearer s3cret"}, 90.0, query=query)
    return reply.status, b"".join(reply.body)


def said(target: KnativeTarget, name: str) -> str:
    """The log of all copies."""
    return "\n".join(text for _, text in target.servers.logs(name))


def test_a_call_and_its_answer(target: KnativeTarget, called: Service) -> None:
    raw = bytes(range(256)) * 10_000
    status, body = call(target, called.name, "do=copy", iter([raw[:7], raw[7:]]))
    assert (status, base64.b64decode(body)) == (200, raw)
    assert call(target, called.name, "do=fail") == (
        500,
        b"before\nthe script ended with exit status 3\n",
    )
    status, body = call(target, called.name, "do=env")
    assert b"s3cret" not in body
    assert f"OSCAR_SERVICE_NAME={called.name}".encode() in body
    with pytest.raises(NotFoundError):
        target.invoke("nobody", b"", {}, 1.0)


def test_the_same_service_runs_jobs(target: KnativeTarget, called: Service) -> None:
    one = job(called)
    target.submit(one)
    update = end(target, one)
    assert (update.state, update.exit_code) == ("succeeded", 0), update.reason


def test_a_second_deploy_changes_nothing(target: KnativeTarget, called: Service) -> None:
    before = target.connection.get(DEPLOYMENTS, called.name)
    target.deploy([called])
    after = target.connection.get(DEPLOYMENTS, called.name)
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_calls_of_one_copy_do_not_meet(target: KnativeTarget, called: Service) -> None:
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: call(target, called.name), range(3)))
    assert [status for status, _ in answers] == [200] * 3


def test_a_caller_that_leaves_ends_the_script(target: KnativeTarget, called: Service) -> None:
    mark = secrets.token_hex(4)
    front = target.servers.front(called.name)
    assert front is not None
    with socket.create_connection((front["spec"]["clusterIP"], 80)) as caller:
        caller.sendall(f"POST /?do=stay&me={mark} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        until(lambda: f"begun {mark}" in said(target, called.name), "the script's beginning")
    assert call(target, called.name)[0] == 200  # the only copy is free again
    assert "terminated" in said(target, called.name)


def test_a_copy_that_has_to_go_finishes_its_call(target: KnativeTarget, called: Service) -> None:
    mark = secrets.token_hex(4)
    (pod,) = target.connection.find_all(
        PODS, labels=f"oscar_service={called.name},oscar-bridge/part"
    )
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(call, target, called.name, f"do=leave&me={mark}")
        until(lambda: f"begun {mark}" in said(target, called.name), "the script's beginning")
        target.connection.delete(PODS, pod["metadata"]["name"])
        status, body = running.result()
    assert (status, body) == (200, f"begun {mark}\nleft\n".encode())
    assert call(target, called.name)[0] == 200  # by the copy that took its place


def test_no_copy_until_the_first_call(target: KnativeTarget) -> None:
    cold = service(SCRIPT)
    target.deploy([cold])
    assert target.connection.get(DEPLOYMENTS, cold.name)["spec"]["replicas"] == 0
    assert target.servers.status(cold.name).state == "ready"
    with pytest.raises(TargetUnavailable):
        target.invoke(cold.name, b"", {}, 0.0)
    assert call(target, cold.name)[0] == 200
    target.remove([cold.name])
    for resource in (DEPLOYMENTS, SERVICES, SCALERS):
        assert target.connection.find(resource, cold.name) is None
    with pytest.raises(NotFoundError):
        target.invoke(cold.name, b"", {}, 1.0)


FILE = """\
targets:
  my-k8s:
    kind: knative
functions:
  bridge:
  - name: small
    image: oscar-bridge/busybox:local
    memory: 64Mi
    cpu: '0.1'
    script: small.sh
"""


def test_a_plan_says_how_calls_are_answered(tmp_path: Path, cluster: Connection) -> None:
    folder = write(tmp_path, {"file.yaml": FILE, "small.sh": "true\n"})
    done = bridge("plan", folder / "file.yaml")
    assert done.status == 0, done.err
    assert "note: small: the cluster has no Knative" in done.out


@contextmanager
def knative(connection: Connection) -> Iterator[None]:
    """The kind of Knative's Services in the cluster, without any controller of it."""
    config.load_kube_config(os.environ["KUBECONFIG"])
    api = client.ApiextensionsV1Api()
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": anything},
        "subresources": {"status": {}},
    }
    name = f"{KNATIVE_SERVICES.plural}.{KNATIVE_SERVICES.group}"
    body = {
        "metadata": {"name": name},
        "spec": {
            "group": KNATIVE_SERVICES.group,
            "names": {"plural": "services", "singular": "service", "kind": "Service"},
            "scope": "Namespaced",
            "versions": [version],
        },
    }
    api.create_custom_resource_definition(body)
    try:
        until(lambda: connection.serves(KNATIVE_SERVICES), "Knative's kind")
        yield
    finally:
        api.delete_custom_resource_definition(name)
        until(lambda: not connection.serves(KNATIVE_SERVICES), "the end of Knative's kind")


class Gateway(BaseHTTPRequestHandler):
    """An ingress of Knative's that answers with the name that it was asked for."""

    def do_POST(self) -> None:
        body = self.headers["Host"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.mark.timeout(900)  # another module may have to end first
def test_where_there_is_knative(namespace: str, cluster: Connection, kinds: Kinds) -> None:
    gateway = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=gateway.serve_forever, daemon=True).start()
    settings = ClusterSettings(
        namespace=namespace,
        runtime_image="runtime:1",
        gateway=f"http://127.0.0.1:{gateway.server_address[1]}",
    )
    target = KnativeTarget(TargetSpec("my-k8s", "knative"), Connection(settings), {})
    small = service(SCRIPT)
    with kinds.changed(), knative(cluster):
        target.deploy([small])
        found = target.connection.get(KNATIVE_SERVICES, small.name)
        assert found["spec"]["template"]["spec"]["containerConcurrency"] == 1
        assert target.connection.find(DEPLOYMENTS, small.name) is None
        assert target.servers.status(small.name).state == "pending"
        with pytest.raises(TargetUnavailable, match="no address yet"):
            target.invoke(small.name, b"", {}, 1.0)
        url = f"http://{small.name}.{namespace}.svc.cluster.local"
        status = {
            "address": {"url": url},
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        target.connection.patch(KNATIVE_SERVICES, small.name, {"status": status}, sub="status")
        assert target.servers.status(small.name).state == "ready"
        assert call(target, small.name) == (200, url.removeprefix("http://").encode())
        target.remove([small.name])
        assert target.connection.find(KNATIVE_SERVICES, small.name) is None
    gateway.shutdown()
    gateway.server_close()
