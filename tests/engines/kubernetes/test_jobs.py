"""Jobs on a real cluster: their names, their news, their logs, and what is left of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from bridge.errors import PermanentError, TargetUnavailable
from bridge.fdl import OscarOptions
from bridge.fdl.model import Resources
from bridge.fdl.options import Volume
from bridge.secret import Secret
from bridge.targets import Job, JobState
from bridge.targets.kubernetes import Connection, KubernetesTarget
from bridge.targets.kubernetes.resources import (
    CONFIG_MAPS,
    JOBS,
    PODS,
    SECRETS,
    VOLUME_CLAIMS,
)
from tests.engines.kubernetes.jobs import (
    IMAGE,
    MIB,
    end,
    ends,
    job,
    objects,
    service,
    target,
    until,
)

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]


@pytest.fixture(scope="module")
def place(
    cluster: Connection, module_namespace: str, runtime_image: str
) -> Iterator[KubernetesTarget]:
    with target(module_namespace, runtime_image) as found:
        yield found


def test_a_job_is_one_job_whoever_submits_it_again(
    place: KubernetesTarget, runtime_image: str
) -> None:
    """As after a manager that was killed between the create and its record."""
    small = service("echo only once\n")
    place.deploy([small])
    one = job(small)
    name = place.submit(one)
    assert place.submit(one) == name
    with target(place.connection.namespace, runtime_image) as second:
        second.deploy([small])
        assert second.submit(one) == name
        found = end(second, one)
        assert found.state is JobState.SUCCEEDED
        assert found.handle == name == one.id
    assert end(place, one).report == found.report
    assert objects(place.connection, small)["Job"] == [name]
    assert len(objects(place.connection, small)["Pod"]) == 1
    # When it is over and forgotten it is still the same job, and a higher attempt is another.
    place.forget(one.id)
    assert list(place.poll()) == []
    assert place.submit(one) == name
    assert end(place, one).report == found.report
    again = Job(one.id, one.service, one.event, attempt=2)
    assert place.submit(again) == f"{one.id}-2"
    assert end(place, again).attempt == 2
    place.forget(one.id)
    assert [line for line in place.logs(one.id) if "once" in line] == ["only once"]


def test_a_job_is_given_back_before_it_runs_or_not_at_all(
    place: KubernetesTarget, runtime_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vast = service(resources=Resources(cpu=Decimal(1000), memory=32 * MIB))
    small = service("sleep 2\necho only once\n")
    place.deploy([vast, small])
    waits, runs = job(vast), job(small)
    name = place.submit(waits)
    until(lambda: bool(objects(place.connection, vast)["Pod"]), "its pod waits for a node")
    until(lambda: place.withdraw(waits, name) is True, "it is given back")
    assert objects(place.connection, vast)["Pod"] == []
    assert place.withdraw(waits, name) is True
    place.forget(waits.id)
    # Whoever comes late with it, from this process or another, finds it withdrawn.
    with target(place.connection.namespace, runtime_image) as late:
        late.deploy([vast])
        for each in (place, late):
            with pytest.raises(TargetUnavailable, match=r"attempt 1 of job .* was withdrawn"):
                each.submit(waits)
        assert late.has_let_go(waits, 1.0)

    place.submit(runs)
    pods = place.connection.find_all

    def before(*given: Any, **named: Any) -> list[dict[str, Any]]:
        """The pods as they were before they had a node, and told when they have one."""
        until(lambda: all("nodeName" in pod["spec"] for pod in pods(*given, **named)), "a node")
        found = pods(*given, **named)
        for pod in found:
            del pod["spec"]["nodeName"]
            pod["metadata"]["resourceVersion"] = str(int(pod["metadata"]["resourceVersion"]) - 1)
        return found

    until(lambda: bool(objects(place.connection, small)["Pod"]), "its pod is there")
    with target(place.connection.namespace, runtime_image) as other:
        with monkeypatch.context() as patch:
            patch.setattr(other.connection, "find_all", before)
            assert other.withdraw(runs, "") is None
        assert other.withdraw(runs, "") is False
    assert end(place, runs).state is JobState.SUCCEEDED
    assert place.withdraw(runs, "") is False
    # A Job that is not there yet cannot be made any more.
    never = job(small)
    assert place.withdraw(never, "") is True
    with pytest.raises(TargetUnavailable, match="was withdrawn"):
        place.submit(never)
    assert len(objects(place.connection, small)["Pod"]) == 1


@contextlib.contextmanager
def disk(folder: Path, claim: str, namespace: str) -> Iterator[None]:
    """A volume for a claim, as a provisioner of the cluster would make it."""
    config.load_kube_config()
    core = client.CoreV1Api()
    spec = {
        "capacity": {"storage": "1Mi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": str(folder)},
        "claimRef": {"name": claim, "namespace": namespace},
    }
    core.create_persistent_volume({"metadata": {"name": claim}, "spec": spec})
    try:
        yield
    finally:
        core.delete_persistent_volume(claim)


def test_variables_files_and_volumes_are_there_as_they_were_given(
    place: KubernetesTarget, tmp_path: Path
) -> None:
    script = (
        'printf "%s\\n" "$LITERAL" "$PASSWORD" "$RESOURCE_ID" "$EVENT"\n'
        "echo kept >> /data/file; cat /data/file\nls /var/run/secrets/kubernetes.io || true\n"
    )
    small = service(
        script,
        variables={"LITERAL": "$(HOME) $$ $(nothing)"},
        secrets={"PASSWORD": Secret("p$(HOME)w")},
        image="docker://oscar-bridge/busybox:local",
        options=OscarOptions(
            annotations={"example.org/why": "because"},
            labels={"team": "blue"},
            volume=Volume(mount_path="/data", size=MIB),
        ),
    )
    place.deploy([small, small])
    one = job(small, b"$(HOME) \\x $$")
    with disk(tmp_path, small.name, place.connection.namespace):
        place.submit(one)
        assert end(place, one).state is JobState.SUCCEEDED
    assert (tmp_path / "file").read_text() == "kept\n"
    lines = list(place.logs(one.id))
    assert lines[:6] == [
        "$(HOME) $$ $(nothing)",
        "p$(HOME)w",
        "localhost",
        "$(HOME) \\x $$",
        "kept",
        "ls: /var/run/secrets/kubernetes.io: No such file or directory",
    ]
    made = place.connection.get(JOBS, one.id)
    assert made["metadata"]["labels"]["team"] == "blue"
    assert made["metadata"]["annotations"]["example.org/why"] == "because"
    (pod,) = place.connection.find_all(PODS, labels=f"job-name={one.id}")
    assert pod["metadata"]["labels"]["oscar_service"] == small.name
    stamped = list(place.log(one.id, timestamps=True))
    assert stamped[0].endswith("Z $(HOME) $$ $(nothing)")
    assert place.has_log(one.id)
    place.remove([small.name])
    until(lambda: not place.has_log(one.id), "the log is gone")
    # What `remove` must not do is to delete data.
    assert place.connection.find(VOLUME_CLAIMS, small.name) is not None


def test_what_can_never_start_ends_with_the_reason(
    cluster: Connection, module_namespace: str, runtime_image: str
) -> None:
    absent = service(image="oscar-bridge/nowhere:1")
    huge = service(resources=Resources(cpu=Decimal(900), memory=32 * MIB))
    shell = service(image="oscar-bridge/runtime:" + runtime_image.rpartition(":")[2])
    hungry = service(
        "#!/usr/bin/env python3\nx = bytearray(200 << 20)\nprint(len(x))\n",
        image="oscar-bridge/python:local",
        resources=Resources(cpu=Decimal("0.2"), memory=64 * MIB),
    )
    services = [absent, huge, shell, hungry]
    jobs = {one.name: job(one) for one in services}
    unready = job(absent)
    with (
        target(module_namespace, runtime_image, start_timeout=20.0) as place,
        target(module_namespace, IMAGE) as broken,
    ):
        place.deploy(services)
        broken.deploy([absent])
        broken.submit(unready)
        for one in jobs.values():
            place.submit(one)
        news = ends(place, jobs.values())
        failed = end(broken, unready)
    assert {one.state for one in (*news.values(), failed)} == {JobState.FAILED}
    found = {one.name: news[jobs[one.name].id] for one in services}
    assert "oscar-bridge/nowhere:1" in found[absent.name].reason
    assert "pull" in found[absent.name].reason
    assert "Insufficient cpu" in found[huge.name].reason
    assert found[huge.name].temporary
    assert "no /bin/sh" in found[shell.name].reason
    assert not found[shell.name].temporary
    assert found[hungry.name].reason == "out of memory: the limit of the service is 64Mi"
    assert not found[hungry.name].temporary
    assert "runtime's container" in failed.reason
    for one in (absent, huge):
        assert cluster.find(JOBS, jobs[one.name].id, namespace=module_namespace) is None


def test_what_others_delete_is_tried_again(place: KubernetesTarget) -> None:
    long = service("echo begun; sleep 300\n")
    place.deploy([long])
    by_pod, by_job = job(long), job(long)
    for one in (by_pod, by_job):
        place.submit(one)
    running: set[str] = set()

    def both_run() -> bool:
        running.update(n.job for n in place.poll() if n.state is JobState.RUNNING)
        return running == {by_pod.id, by_job.id}

    until(both_run, "both jobs run")
    # The log can be read while it grows.
    assert next(place.log(by_job.id, follow=True)) == "begun"
    (pod,) = place.connection.find_all(PODS, labels=f"job-name={by_pod.id}")
    place.connection.delete(PODS, pod["metadata"]["name"])
    place.connection.delete(JOBS, by_job.id)
    news = ends(place, [by_pod, by_job])
    assert {(one.state, one.temporary) for one in news.values()} == {(JobState.FAILED, True)}
    until(lambda: not objects(place.connection, long)["Job"], "no Job starts another pod")


def test_removing_a_service_leaves_what_is_not_ours(place: KubernetesTarget) -> None:
    long = service("sleep 300\n", secrets={"PASSWORD": Secret("first")})
    place.deploy([long])
    one = job(long)
    place.submit(one)
    foreign = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "foreign", "labels": {"oscar_service": long.name}},
        "data": {"a": "b"},
    }
    place.connection.create(foreign)
    with pytest.raises(PermanentError, match=r"foreign .* is not of oscar-bridge"):
        place.deploy([service(name="foreign")])
    place.remove([long.name])
    assert end(place, one).state is JobState.CANCELLED
    assert place.connection.find(CONFIG_MAPS, long.name) is None
    assert place.connection.find(SECRETS, long.name) is None
    assert place.connection.get(CONFIG_MAPS, "foreign")["data"] == {"a": "b"}
    until(lambda: objects(place.connection, long) == {"Job": [], "Pod": []}, "nothing is left")
    place.remove([long.name])
