"""The chart, installed by Helm's own code: the manager's image, its least rights, and a job."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from kubernetes import client as official
from kubernetes import config
from packaging.requirements import Requirement

from bridge.local.children import free_port, http_ready
from bridge.local.executors import gateway
from bridge.local.objectstore import ObjectStore, Webhook
from bridge.secret import Secret
from bridge.targets.kubernetes import Connection
from bridge.targets.kubernetes.resources import DEPLOYMENTS, JOBS, NAMESPACES, SERVICES
from deploy.kubernetes.render import CHART
from tests.command import ROOT
from tests.engines.kubernetes.jobs import IMAGE, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]
helm = pytest.importorskip("helm_python", reason="there is no wheel of Helm for this platform")

MANAGER = "oscar-bridge/manager:test"
EXTRAS = ("manager", "kubernetes", "oscar")
AUTH = ("oscar", "pass-word")
SHOUT = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/out"\n'


def needed(name: str, extras: tuple[str, ...], found: dict[str, Any]) -> dict[str, Any]:
    """The installed distributions that one needs, itself among them, by name."""
    if name not in found:
        found[name] = importlib.metadata.distribution(name)
    for line in found[name].requires or ():
        asked = Requirement(line)
        wanted = [{"extra": extra} for extra in extras] or [{"extra": ""}]
        is_asked = asked.marker is None or any(asked.marker.evaluate(one) for one in wanted)
        if is_asked and asked.name not in found:
            needed(asked.name, tuple(asked.extras), found)
    return found


@pytest.fixture(scope="module")
def manager_image(image: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The manager's image, made of what is installed here instead of by pip."""
    base = image("python")
    asked = [
        "docker",
        "run",
        "--rm",
        base,
        "python3",
        "-c",
        "import sys; print(sys.version_info[:2])",
    ]
    version = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    if version != str(sys.version_info[:2]):
        pytest.skip(f"the image {base} has Python {version}: our packages are for another")
    context = tmp_path_factory.mktemp("image")
    for distribution in needed("oscar-bridge", EXTRAS, {}).values():
        for file in distribution.files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                to = context / "site" / file
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(distribution.locate_file(file)), to)
    for package in ("bridge", "manager"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, context / "site" / package, ignore=ignored)
    file = ROOT / "deploy" / "image" / "Dockerfile"
    build = ["docker", "build", "--quiet", "--build-arg", f"BASE={base}", "--tag", MANAGER]
    subprocess.run([*build, "--file", file, context], check=True, capture_output=True)
    return MANAGER


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    """An object store that pods reach; it tells nobody of new objects."""
    address = gateway()
    nobody = Webhook(f"http://{address}:9/events", Secret("nobody"))
    with ObjectStore(
        tmp_path / "objects", nobody, address=address, port=free_port(address)
    ) as made:
        yield made


@pytest.fixture
def prepared(namespace: str, store: ObjectStore, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What an administrator has before: two Secrets and a volume. The chart's values for them."""
    keys = store.credentials
    core = official.CoreV1Api(config.new_client_from_config())
    for name, values in (
        ("admin", {"OSCAR_USERNAME": AUTH[0], "OSCAR_PASSWORD": AUTH[1]}),
        (
            "minio",
            {"MINIO_ACCESS_KEY": keys.access_key, "MINIO_SECRET_KEY": keys.secret_key.reveal()},
        ),
    ):
        core.create_namespaced_secret(namespace, {"metadata": {"name": name}, "stringData": values})
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": str(state)},
        "claimRef": {"namespace": namespace, "name": "m-oscar-bridge"},
    }
    core.create_persistent_volume({"metadata": {"name": namespace}, "spec": spec})
    yield {
        "admin": {"existingSecret": "admin"},
        "storage": {"endpoint": store.endpoint, "existingSecret": "minio"},
        "state": {"size": "1Gi"},
        "services": {"namespace": f"{namespace}-services"},
        "env": {"BRIDGE_RECONCILE_INTERVAL": 1},
    }
    core.delete_persistent_volume(namespace)


def test_the_chart_installs_a_manager_that_runs_services(  # noqa: PLR0917  (fixtures)
    cluster: Connection,
    namespace: str,
    prepared: dict[str, Any],
    store: ObjectStore,
    manager_image: str,
    runtime_image: str,
    tmp_path: Path,
) -> None:
    values = {**prepared, "image": _named(manager_image), "runtimeImage": _named(runtime_image)}
    services = prepared["services"]["namespace"]
    with ExitStack() as stack:
        installer = stack.enter_context(helm.Config(namespace=namespace))
        stack.callback(cluster.delete, NAMESPACES, services)
        installer.install(CHART, "m", values, namespace=namespace)
        uninstall = stack.enter_context(ExitStack())
        uninstall.callback(installer.uninstall, "m")

        found = cluster.get(SERVICES, "m-oscar-bridge", namespace=namespace)
        url = f"http://{found['spec']['clusterIP']}:8080"
        until(http_ready(f"{url}/ready"), "a ready manager")
        _use(url, store, tmp_path)
        assert len(cluster.find_all(JOBS, namespace=services)) == 1
        uninstall.close()
        until(lambda: not cluster.find_all(DEPLOYMENTS, namespace=namespace), "no manager")
        # Users' services are not the release's.
        assert cluster.find(NAMESPACES, services)


def _named(image: str) -> dict[str, str]:
    repository, _, tag = image.rpartition(":")
    return {"repository": repository, "tag": tag}


def _use(url: str, store: ObjectStore, folder: Path) -> None:
    path = {"storage_provider": "minio.default"}
    service = {
        "name": "shout",
        "image": IMAGE,
        "memory": "64Mi",
        "cpu": "0.1",
        "script": SHOUT,
        "input": [{**path, "path": "shout/in"}],
        "output": [{**path, "path": "shout/out"}],
    }
    made = requests.post(f"{url}/system/services", json=service, auth=AUTH, timeout=60)
    assert made.status_code == 201, made.text
    (folder / "said").write_text("quiet")
    store.upload("shout", "in/said", folder / "said")

    def over() -> bool:
        answer = requests.get(f"{url}/system/logs/shout", auth=AUTH, timeout=60)
        return [one["status"] for one in answer.json()["jobs"].values()] == ["Succeeded"]

    until(over, "a job that succeeded")
    store.download("shout", "out/out", folder / "heard")
    assert (folder / "heard").read_text() == "QUIET"
