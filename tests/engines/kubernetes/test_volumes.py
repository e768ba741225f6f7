"""Volumes without a service, as claims of a real cluster."""

from __future__ import annotations

import pytest

from bridge.targets.kubernetes import ClusterSettings, Connection, Volumes
from bridge.targets.kubernetes.connection import AlreadyThere
from bridge.targets.kubernetes.resources import VOLUME_CLAIMS

pytestmark = pytest.mark.kubernetes


@pytest.mark.usefixtures("cluster")
def test_a_volume_from_its_making_to_its_end(module_namespace: str) -> None:
    connection = Connection(ClusterSettings(namespace=module_namespace))
    volumes = Volumes(connection)
    made = volumes.create("data", 2**30, "ann@example.org")
    assert (made.name, made.size, made.owner, made.service) == (
        "data",
        "1Gi",
        "ann@example.org",
        "",
    )
    assert made.phase == "pending"
    with pytest.raises(AlreadyThere):
        volumes.create("data", 2**30, "bob")
    foreign = {"name": "foreign", "namespace": module_namespace}
    claim = connection.get(VOLUME_CLAIMS, "data")
    connection.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": foreign,
                       "spec": {**claim["spec"]}})  # fmt: skip
    assert [one.name for one in volumes.all()] == ["data"]
    assert volumes.find("foreign") is None
    volumes.give("data", "bob")
    found = volumes.find("data")
    assert found is not None
    assert found.owner == "bob"
    volumes.delete("data")
    after = volumes.find("data")
    assert after is None or after.phase == "deleting"
