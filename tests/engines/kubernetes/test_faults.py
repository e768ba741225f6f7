"""What goes wrong between us and a cluster: connections, rights, quotas.

BRIDGE_MANY_JOBS says with how many jobs a server that is away is tried; 200 take some minutes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, utils

from bridge.errors import AccessError, PermanentError, TargetUnavailable
from bridge.fdl.model import Resources
from bridge.targets import JobState
from bridge.targets.kubernetes import ClusterSettings, Connection
from bridge.targets.kubernetes.resources import JOBS, NODES, PODS, SECRETS
from tests.command import ROOT
from tests.engines.kubernetes.cutter import cutter
from tests.engines.kubernetes.jobs import MIB, end, ends, job, objects, service, target, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]

RIGHTS = ROOT / "deploy" / "kubernetes" / "rbac.yaml"
MANY = int(os.environ.get("BRIDGE_MANY_JOBS", "20"))


def test_many_jobs_survive_a_watch_that_is_cut_and_a_server_that_is_away(
    cluster: Connection, namespace: str, runtime_image: str, tmp_path: Path
) -> None:
    small = service("exit $(( $(cat $INPUT_FILE_PATH) % 2 ))\n")
    jobs = [job(small, str(number).encode()) for number in range(MANY)]
    with (
        cutter(tmp_path) as (proxy, kubeconfig),
        target(namespace, runtime_image, kubeconfig=kubeconfig) as place,
    ):
        place.deploy([small])
        stop = threading.Event()

        def cut() -> None:
            while not stop.wait(1.0):
                proxy.cut()

        thread = threading.Thread(target=cut)
        thread.start()
        try:
            for one in jobs:
                submit(place, one)
            until(lambda: proxy.cuts >= 3, "three cuts")
            with proxy.closed():
                # Some end while nobody can hear of it.
                until(lambda: finished(cluster, namespace) >= 3, "three jobs end unheard")
            news = ends(place, jobs, within=200 + 5 * MANY)
        finally:
            stop.set()
            thread.join()
    for number, one in enumerate(jobs):
        assert news[one.id].exit_code == number % 2, news[one.id]
        assert news[one.id].state is (JobState.FAILED if number % 2 else JobState.SUCCEEDED)
        assert news[one.id].report["job"] == one.id
    with target(namespace, runtime_image) as direct:
        left = objects(direct.connection, small)
    assert sorted(left["Job"]) == sorted(one.id for one in jobs)
    assert len(left["Pod"]) == MANY


def submit(place: Any, one: Any) -> None:
    """As the dispatcher does: again, when it is told that this may help."""

    def done() -> bool:
        try:
            place.submit(one)
        except TargetUnavailable:
            return False
        return True

    until(done, "the submit goes through")


def finished(cluster: Connection, namespace: str) -> int:
    pods = cluster.find_all(PODS, namespace=namespace)
    return sum(one["status"].get("phase") in ("Succeeded", "Failed") for one in pods)


@pytest.fixture
def api(cluster: Connection) -> client.ApiClient:
    """The official client, for what this program does not do: accounts and quotas."""
    config.load_kube_config()
    return client.ApiClient()


@pytest.fixture
def account(api: client.ApiClient, namespace: str, tmp_path: Path) -> Iterator[str]:
    """A kubeconfig of the account of rbac.yaml, all of it in the test's namespace."""
    text = RIGHTS.read_text().replace("namespace: oscar-svc", f"namespace: {namespace}")
    for one in yaml.safe_load_all(text.replace("namespace: oscar\n", f"namespace: {namespace}\n")):
        if one["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
            utils.create_from_dict(api, one, namespace=namespace)
    yield kubeconfig_of("oscar-sa", api, namespace, tmp_path)


def kubeconfig_of(name: str, api: client.ApiClient, namespace: str, folder: Path) -> str:
    """A kubeconfig with a token of a service account."""
    request = {"spec": {"audiences": None, "expirationSeconds": 3600}}
    answer = client.CoreV1Api(api).create_namespaced_service_account_token(name, namespace, request)
    return kubeconfig_with(answer.status.token, folder / name)


def kubeconfig_with(token: str, path: Path, server: str = "") -> str:
    kubeconfig = yaml.safe_load(Path(config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION).read_text())
    if server:
        kubeconfig["clusters"][0]["cluster"]["server"] = server
    kubeconfig["users"][0]["user"] = {"token": token}
    path.write_text(yaml.safe_dump(kubeconfig))
    return str(path)


def test_a_job_needs_no_more_rights_than_the_role_gives(
    account: str, api: client.ApiClient, namespace: str, runtime_image: str, tmp_path: Path
) -> None:
    with target(namespace, runtime_image, kubeconfig=account) as place:
        small, long = service("echo done\n"), service("sleep 300\n")
        large = job(small, b"x" * 200_000)
        place.deploy([small, long])
        stopped = job(long)
        for one in (large, stopped):
            place.submit(one)
        assert end(place, large).state is JobState.SUCCEEDED
        assert "done" in list(place.logs(large.id))
        place.cancel(stopped.id)
        assert end(place, stopped).state is JobState.CANCELLED
        vast = service(resources=Resources(cpu=Decimal(1000), memory=32 * MIB))
        place.deploy([vast])
        waits = job(vast)
        place.submit(waits)
        until(lambda: place.withdraw(waits, "") is True, "it is given back")
        place.remove([small.name, long.name, vast.name])
        # The parts of the event are the Job's, and go with it.
        until(lambda: not _secrets(api, namespace, large.id), "the event is gone, too")
        with pytest.raises(AccessError, match=r"may not list nodes of cluster \w+: "):
            place.connection.find_all(NODES)
        with pytest.raises(AccessError, match=rf"may not list secrets in namespace {namespace}"):
            place.connection.find_all(SECRETS)


def _secrets(api: client.ApiClient, namespace: str, prefix: str) -> list[str]:
    found = client.CoreV1Api(api).list_namespaced_secret(namespace).items
    return [one.metadata.name for one in found if one.metadata.name.startswith(prefix)]


def test_what_is_refused_says_which_verb_on_which_resource(
    api: client.ApiClient, namespace: str, runtime_image: str, tmp_path: Path
) -> None:
    client.CoreV1Api(api).create_namespaced_service_account(
        namespace, {"metadata": {"name": "nobody"}}
    )
    nobody = kubeconfig_of("nobody", api, namespace, tmp_path)
    with target(namespace, runtime_image, kubeconfig=nobody) as place:
        small = service()
        with pytest.raises(
            AccessError, match=rf"may not get configmaps .* in namespace {namespace}"
        ):
            place.deploy([small])
        place._services[small.name] = small
        with pytest.raises(
            AccessError, match=rf"may not create jobs.batch .*namespace {namespace}"
        ):
            place.submit(job(small))
        until(lambda: place._watch is not None and place._watch.trouble is not None, "trouble")
        with pytest.raises(AccessError, match=r"may not list pods in namespace"):
            place.poll()
    expired = kubeconfig_with("not-a-token", tmp_path / "expired")
    with pytest.raises(AccessError, match="does not know who asks") as refused:
        Connection(ClusterSettings(kubeconfig=expired)).find_all(NODES)
    assert "expired" in refused.value.hint
    away = kubeconfig_with("any", tmp_path / "away", "https://127.0.0.1:9")
    with pytest.raises(TargetUnavailable, match="does not answer"):
        Connection(ClusterSettings(kubeconfig=away)).version()


def test_a_quota_is_waited_for_unless_it_can_never_be_kept(
    api: client.ApiClient, namespace: str, runtime_image: str
) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/jobs.batch": "1"}}}
    core = client.CoreV1Api(api)
    core.create_namespaced_resource_quota(namespace, quota)
    until(lambda: _enforced(core, namespace), "the quota is enforced")
    with target(namespace, runtime_image, start_timeout=5.0) as place:
        small = service()
        place.deploy([small])
        first, second = job(small), job(small)
        place.submit(first)
        with pytest.raises(TargetUnavailable, match="quota few is exceeded"):
            place.submit(second)
        place.remove([small.name])
        place.deploy([small])
        core.patch_namespaced_resource_quota(
            "few", namespace, {"spec": {"hard": {"count/jobs.batch": "0"}}}
        )
        until(lambda: _enforced(core, namespace, "0"), "the quota is enforced")
        with pytest.raises(PermanentError, match="quota few is exceeded"):
            place.submit(second)
        # The cluster takes the Job, and can make no pod of it.
        hard = {"count/jobs.batch": "5", "pods": "0"}
        core.patch_namespaced_resource_quota("few", namespace, {"spec": {"hard": hard}})
        until(lambda: _enforced(core, namespace, "5"), "the quota is enforced")
        place.submit(second)
        news = end(place, second)
        assert news.state is JobState.FAILED
        assert news.temporary
        assert "exceeded quota: few" in news.reason
        assert place.connection.find(JOBS, second.id) is None


def _enforced(core: client.CoreV1Api, namespace: str, jobs: str = "1") -> bool:
    status = core.read_namespaced_resource_quota("few", namespace).status
    return (status.hard or {}).get("count/jobs.batch") == jobs and status.used is not None
