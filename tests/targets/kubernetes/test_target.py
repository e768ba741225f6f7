"""What a target does when the cluster does not answer as it should."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge.dispatch.protocol import Leases, Withdraws
from bridge.errors import NotFoundError, PermanentError, TargetUnavailable, TemporaryError
from bridge.fdl.model import TargetSpec
from bridge.targets import JobState
from bridge.targets.kubernetes import ClusterSettings, KubernetesTarget
from bridge.targets.kubernetes.connection import AlreadyThere
from tests.targets.kubernetes.shapes import job, service

SEEN = {"uid": "u", "resourceVersion": "7"}
SETTINGS = ClusterSettings(namespace="here", runtime_image="runtime:1", start_timeout=0.0)


class Cluster:
    """A connection that creates as it is told, and has no pods."""

    name, namespace, settings = "mine", "here", SETTINGS

    def __init__(self, create: Callable[[Any], Any]) -> None:
        self.create = create
        self.there: dict[str, Any] | None = None
        self.pods: list[Any] = []
        self.answers = True
        self.deleted: list[str] = []
        self.changed: set[str] = set()

    def apply(self, manifest: object) -> None:
        """Everything is taken."""

    def find(self, *_: object) -> dict[str, Any] | None:
        if not self.answers:
            raise TargetUnavailable("away")
        return self.there

    def find_all(self, *_: object, **__: object) -> list[Any]:
        return self.pods

    def delete(self, _: object, name: str, *, only: object = None, **__: object) -> None:
        if only and name in self.changed:
            raise TemporaryError("it is another one now")
        self.deleted.append(name)

    def version(self) -> str:
        return "v1.20"

    def pages(self, *_: object, **__: object) -> Iterator[Any]:
        raise TargetUnavailable("away")


def target(cluster: Cluster) -> KubernetesTarget:
    made = KubernetesTarget(TargetSpec("k", "kubernetes"), cluster, {})  # type: ignore[arg-type]
    made.deploy([service()])
    return made


def away(_: object) -> Any:
    raise TargetUnavailable("the answer was lost")


def there_already(_: object) -> Any:
    raise AlreadyThere("it exists already")


def test_a_job_that_may_be_there_is_not_given_to_another_target() -> None:
    cluster = Cluster(away)
    place = target(cluster)
    asked: Leases = place
    assert asked.has_let_go(job(), None)
    # What a process before this one has submitted.
    cluster.there = {"metadata": {}}
    assert not asked.has_let_go(job(), 1.0)
    with pytest.raises(TargetUnavailable):
        place.submit(job())
    assert not asked.has_let_go(job(), None)
    cluster.there = None
    assert asked.has_let_go(job(), None)
    # Nobody waits for ever for a cluster that does not answer.
    with pytest.raises(TargetUnavailable):
        place.submit(job())
    cluster.answers = False
    assert asked.has_let_go(job(), None)
    place.close()


def test_a_job_that_is_cancelled_while_it_is_submitted_does_not_run() -> None:
    def late(manifest: Any) -> Any:
        place.cancel("plain-1")
        return manifest | {"metadata": manifest["metadata"] | {"uid": "u"}}

    cluster = Cluster(late)
    place = target(cluster)
    place.submit(job())
    # Before it was made, and after.
    assert cluster.deleted == ["plain-1", "plain-1"]
    assert [one.state for one in place.poll()] == [JobState.CANCELLED]
    place.close()


def test_a_job_is_given_back_as_long_as_it_has_no_node() -> None:
    def create(manifest: Any) -> Any:
        cluster.there = {**manifest, "metadata": {**manifest["metadata"], "uid": "fence"}}
        return cluster.there

    cluster = Cluster(create)
    place = target(cluster)
    asked: Withdraws = place
    cluster.there = {"metadata": {"name": "plain-1", **SEEN}, "status": {}}
    cluster.pods = [{"metadata": {"name": "pod", **SEEN}, "spec": {"nodeName": "n1"}}]
    assert asked.withdraw(job(), "") is False
    assert cluster.deleted == []
    del cluster.pods[0]["spec"]["nodeName"]
    # A node has got it since we looked.
    cluster.changed.add("pod")
    assert asked.withdraw(job(), "") is None
    assert cluster.deleted == []
    cluster.changed.clear()
    assert asked.withdraw(job(), "") is None
    assert cluster.deleted == ["pod", "plain-1"]
    # It is not gone before the cluster says so, with whatever pod it had.
    cluster.there["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert asked.withdraw(job(), "") is None
    cluster.there = None
    assert asked.withdraw(job(), "") is True
    # Then its name is taken, for whoever is late with it.
    fence: Any = cluster.there
    assert fence["spec"]["completions"] == 0
    assert asked.withdraw(job(), "") is True
    assert place.has_let_go(job(), 1.0)
    cluster.create = there_already
    with pytest.raises(TargetUnavailable, match="attempt 1 of job plain-1 was withdrawn"):
        place.submit(job())
    cluster.answers = False
    with pytest.raises(TargetUnavailable):
        asked.withdraw(job(), "")
    place.close()


def test_who_submits_while_it_is_taken_back_is_not_overlooked() -> None:
    cluster = Cluster(there_already)
    place = target(cluster)
    # Made between our look and our fence.
    assert place.withdraw(job(), "") is None
    assert not place.has_let_go(job(), None)
    assert place._unsure == {}

    def forbidden(_: object) -> Any:
        raise PermanentError("a rule of the cluster wants limits")

    # Where no fence can be, it is as safe as a look.
    cluster.create = forbidden
    assert place.withdraw(job(), "") is True


def test_a_server_that_drops_a_limit_does_not_get_the_job() -> None:
    def old(manifest: Any) -> Any:
        made = copy.deepcopy(manifest)
        del made["spec"]["ttlSecondsAfterFinished"]
        del made["spec"]["template"]["spec"]["automountServiceAccountToken"]
        return made | {"metadata": made["metadata"] | {"uid": "u"}}

    cluster = Cluster(old)
    place = target(cluster)
    lost = r"dropped spec\.template\.spec\.automountServiceAccountToken of the Job"
    with pytest.raises(PermanentError, match=lost) as refused:
        place.submit(job())
    assert "v1.20" in refused.value.hint
    assert cluster.deleted == ["plain-1"]
    assert list(place.poll()) == []
    place.close()


def test_a_service_that_is_not_deployed_is_named() -> None:
    place = KubernetesTarget(TargetSpec("k", "kubernetes"), Cluster(away), {})  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="service plain is not deployed on k"):
        place.submit(job())
