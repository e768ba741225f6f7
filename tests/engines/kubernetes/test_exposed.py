"""A server of a user's own on a real cluster: reached, changed, stopped, started, deleted."""

from __future__ import annotations

import os
import urllib.request
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import yaml
from kubernetes import config, utils
from starlette.testclient import TestClient

from bridge.dispatch import SqliteStore
from bridge.errors import NotFoundError, PermanentError
from bridge.fdl.model import Resources, Service, TargetSpec
from bridge.fdl.options import Expose, OscarOptions, Synchronous
from bridge.secret import Secret
from bridge.storage.minio import MinioServer, ServerSettings
from bridge.targets.kubernetes import ClusterSettings, Connection, KnativeTarget
from bridge.targets.kubernetes._apr1 import apr1
from bridge.targets.kubernetes.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    INGRESSES,
    SCALERS,
    SECRETS,
    SERVICES,
)
from manager.app import create_app
from manager.core import Manager, Parts
from manager.settings import Settings
from manager.store import ServiceStore
from tests.engines.kubernetes.jobs import service, until
from tests.engines.kubernetes.test_faults import RIGHTS, kubeconfig_of

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]

# As the manager, which puts the token of each service here before it is deployed.
TOKENS: dict[str, Secret] = {}
SCRIPT = """#!/bin/sh
mkdir /tmp/www
cd /tmp/www
echo "$GREETING from $OSCAR_SERVICE_BASE_PATH" > index.html
exec python3 -m http.server 5000
"""


@pytest.fixture(scope="module")
def account(module_namespace: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A kubeconfig of the account of rbac.yaml, all of it in the module's namespace."""
    api = config.new_client_from_config(os.environ["KUBECONFIG"])
    text = RIGHTS.read_text().replace("namespace: oscar-svc", f"namespace: {module_namespace}")
    text = text.replace("namespace: oscar\n", f"namespace: {module_namespace}\n")
    for one in yaml.safe_load_all(text):
        if one["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
            utils.create_from_dict(api, one, namespace=module_namespace)
    folder = tmp_path_factory.mktemp("account")
    return kubeconfig_of("oscar-sa", api, module_namespace, folder)


@pytest.fixture(scope="module")
def target(module_namespace: str, account: str) -> Iterator[KnativeTarget]:
    """A target in the module's namespace, with no more rights than rbac.yaml gives."""
    settings = ClusterSettings(
        kubeconfig=account, namespace=module_namespace, runtime_image="not:needed"
    )
    made = KnativeTarget(
        TargetSpec("my-k8s", "knative"),
        Connection(settings),
        {},
        tokens=TOKENS,
    )
    yield made
    made.close()


def server(greeting: str, **changes: object) -> Service:
    """Python's own server of files."""
    expose = Expose(api_port=(5000,), max_scale=2, set_auth=True)
    return service(
        SCRIPT,
        image="oscar-bridge/python:local",
        resources=Resources(Decimal("0.1"), 2**26),
        variables={"GREETING": greeting},
        options=OscarOptions(expose=replace(expose, **changes)),  # type: ignore[arg-type]
    )


def read(target: KnativeTarget, name: str) -> str:
    """What the server gives; "" when nobody answers."""
    address = target.connection.get(SERVICES, f"{name}-svc")["spec"]["clusterIP"]
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=10) as answer:
            return str(answer.read().decode())
    except (URLError, OSError):
        return ""


def kinds(target: KnativeTarget, name: str) -> set[str]:
    """Names of all objects that a service has, as the administrator sees them."""
    everything = Connection(ClusterSettings(namespace=target.connection.namespace))
    labels = f"oscar_service={name}"
    return {
        f"{resource.kind} {one['metadata']['name'].removeprefix(name)}"
        for resource in (DEPLOYMENTS, SERVICES, SCALERS, INGRESSES, SECRETS, CONFIG_MAPS)
        for one in everything.find_all(resource, labels=labels)
    }


def test_the_life_of_an_exposed_service(target: KnativeTarget) -> None:
    first = server("hello")
    name = first.name
    with pytest.raises(PermanentError, match="needs the service's token"):
        target.deploy([first])
    TOKENS[name] = Secret("0123456789abcdef")
    target.deploy([first])
    assert kinds(target, name) == {
        "Deployment -dpl",
        "Service -svc",
        "HorizontalPodAutoscaler -hpa",
        "Ingress -ing",
        "Secret -auth-expose",
        "ConfigMap ",
    }
    until(lambda: target.servers.status(name).state == "ready", "a ready server")
    until(lambda: bool(read(target, name)), "an answer")
    assert read(target, name) == f"hello from /system/services/{name}/exposed\n"
    until(lambda: any("GET / HTTP" in text for _, text in target.servers.logs(name)), "its log")
    with pytest.raises(NotFoundError, match="does not answer synchronous calls"):
        target.invoke(name, b"", {}, 1.0)

    stopped = target.servers.stop(name)
    assert stopped.state == "stopped"
    until(lambda: not read(target, name), "the end of the server")
    assert target.servers.stop(name).state == "stopped"
    again = replace(first, variables={"GREETING": "welcome"})
    target.deploy([again])  # stopped stays stopped
    assert target.servers.status(name).state == "stopped"
    assert target.connection.find(SCALERS, f"{name}-hpa") is None

    assert target.servers.start(again).affected_instances == 1
    until(lambda: read(target, name).startswith("welcome"), "the new greeting")
    assert target.connection.find(SCALERS, f"{name}-hpa") is not None
    generation = target.connection.get(DEPLOYMENTS, f"{name}-dpl")["metadata"]["generation"]
    target.servers.restart(name, "2026-11-22T10:00:00Z")
    found = target.connection.get(DEPLOYMENTS, f"{name}-dpl")
    assert found["metadata"]["generation"] > generation
    assert found["metadata"]["annotations"]["oscar.grycap.io/restarted-at"]
    target.deploy([again])  # and what was restarted is not started again
    after = target.connection.get(DEPLOYMENTS, f"{name}-dpl")["spec"]["template"]
    assert after == found["spec"]["template"]

    fixed = server("welcome", max_scale=1, set_auth=False)
    target.deploy([replace(fixed, name=name)])
    assert kinds(target, name) == {"Deployment -dpl", "Service -svc", "Ingress -ing", "ConfigMap "}
    target.remove([name])
    until(lambda: not kinds(target, name), "the end of all objects")
    assert target.servers.status(name).state == "unavailable"


def test_a_service_that_changes_its_sort_leaves_nothing_behind(target: KnativeTarget) -> None:
    exposed = server("hello", set_auth=False)
    plain = replace(exposed, options=OscarOptions(synchronous=Synchronous(max_scale=1)))
    target.deploy([exposed])
    target.deploy([plain])
    assert kinds(target, plain.name) >= {"Deployment ", "Service ", "ConfigMap "}
    assert not any("-" in one for one in kinds(target, plain.name))
    with pytest.raises(PermanentError, match="not exposed"):
        target.servers.stop(plain.name)
    target.deploy([exposed])
    assert "Deployment " not in kinds(target, plain.name)
    target.remove([plain.name])
    with pytest.raises(NotFoundError):
        target.servers.stop(plain.name)


def test_what_is_of_somebody_else_stays(target: KnativeTarget) -> None:
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "foreign", "namespace": target.connection.namespace},
        "spec": {"ports": [{"port": 80, "protocol": "TCP"}]},
    }
    target.connection.create(foreign)
    with pytest.raises(PermanentError, match="is not of oscar-bridge"):
        target.deploy([replace(server("hello"), name="foreign", options=OscarOptions())])
    target.remove(["foreign"])
    assert target.connection.find(SERVICES, "foreign") is not None
    assert kinds(target, "foreign") == set()


def test_why_a_server_does_not_start_is_said(target: KnativeTarget) -> None:
    broken = replace(
        server("hello", set_auth=False), script_text="echo no such model >&2\nexit 3\n"
    )
    target.deploy([broken])

    def failed() -> bool:
        # Now and then it is started again; what it said comes a moment after its end.
        status = target.servers.status(broken.name)
        said = status.state == "failed" and status.reason == "it ended with status 3: no such model"
        return said and (status.active_instances, status.affected_instances) == (0, 1)

    until(failed, "the failure and its reason")
    target.remove([broken.name])


def test_through_the_managers_api(target: KnativeTarget, tmp_path: Path) -> None:
    one = server("hello")
    body = {
        "name": one.name,
        "image": one.image,
        "script": SCRIPT,
        "memory": "64Mi",
        "cpu": "0.1",
        "environment": {"variables": {"GREETING": "hello"}},
        "expose": {"api_port": 5000, "min_scale": 1, "max_scale": 1, "set_auth": True},
    }
    path = f"/system/services/{one.name}"
    with api(target, tmp_path) as client:
        assert client.post("/system/services", json=body).status_code == 201
        until(lambda: client.get(f"{path}/deployment").json()["state"] == "ready", "a ready server")
        found = client.get(f"{path}/deployment").json()
        assert found.pop("last_transition_time")
        assert found == {
            "service_name": one.name,
            "namespace": "oscar-svc",
            "state": "ready",
            "active_instances": 1,
            "affected_instances": 0,
            "resource_kind": "exposed_service",
        }

        def log() -> Any:
            return client.get(f"{path}/deployment/logs?timestamps=true&tailLines=1").json()

        until(lambda: len(log()["entries"]) == 1, "a line of its log")
        assert log()["available"] is True
        assert log()["entries"][0]["timestamp"].startswith("20")
        for rotated in (False, True):
            if rotated:
                assert client.post(f"/api/v1/services/{one.name}/token").status_code == 200
            secret = target.connection.get(SECRETS, f"{one.name}-auth-expose")
            token = client.get(path).json()["token"]
            line = b64decode(secret["data"]["auth"]).decode()
            assert line == f"{one.name}:{apr1(token, line.split('$')[2])}"
        assert client.post(f"{path}/stop").json()["state"] == "stopped"
        assert client.get(f"{path}?include=deployment").json()["deployment"]["state"] == "stopped"
        assert client.post(f"{path}/start").json()["affected_instances"] == 1
        assert client.post(f"{path}/restart").status_code == 200
        plain = {key: value for key, value in body.items() if key != "expose"} | {"name": "plain"}
        assert client.post("/system/services", json=plain).status_code == 201
        assert client.post("/system/services/plain/stop").status_code == 400
        assert client.post("/system/services/absent/stop").status_code == 404
        assert client.post(f"{path}/stop", auth=("oscar", "wrong")).status_code == 401
        for name in (one.name, "plain"):
            assert client.delete(f"/system/services/{name}").status_code == 204
        until(lambda: not kinds(target, one.name), "the end of all objects")


@contextmanager
def api(target: KnativeTarget, folder: Path) -> Iterator[TestClient]:
    """A manager over the target, without an object store, asked as its administrator."""
    nowhere = ServerSettings("http://127.0.0.1:9", Secret("key"), Secret("secret"))
    with (
        ServiceStore(folder / "manager.sqlite") as state,
        SqliteStore(folder / "jobs.sqlite") as jobs,
    ):
        targets = {target.spec.name: target}
        parts = Parts(
            state=state, jobs=jobs, buckets=MinioServer(nowhere), targets=targets, tokens=TOKENS
        )
        manager = Manager(Settings(user="oscar", password=Secret("password")), parts)
        manager.start()
        client = TestClient(create_app(manager))
        client.auth = ("oscar", "password")
        yield client
        manager.close()
