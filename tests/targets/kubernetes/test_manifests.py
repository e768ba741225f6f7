"""What a service and a job are on a cluster, as values."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import PermanentError
from bridge.fdl import OscarOptions
from bridge.fdl.model import ProviderRef, Resources, StoragePath, TargetSpec
from bridge.fdl.options import Volume
from bridge.secret import Secret
from bridge.targets.kubernetes import ClusterSettings
from bridge.targets.kubernetes._manifests import (
    dropped,
    event_secrets,
    job_manifest,
    service_manifests,
)
from bridge.targets.kubernetes._names import job_name, object_name
from bridge.targets.render import ProviderAccess
from tests.targets.kubernetes.shapes import MIB, job, service

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
MINIO = ProviderRef("minio")
ACCESS = {MINIO: ProviderAccess({"endpoint": "http://store"}, {"secret_key": Secret("s3cr3t")})}


def made(of: Any, what: Any = None, **settings: Any) -> dict[str, Any]:
    return job_manifest(
        of,
        what or job(),
        ACCESS,
        ClusterSettings(**settings),
        namespace="here",
        runtime_image="runtime:1",
    )


def variables(manifest: dict[str, Any]) -> dict[str, str]:
    (main,) = manifest["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in main["env"] if "value" in one}


def test_a_plain_job() -> None:
    manifest = made(service(timeout=30.0), deadline_grace=60.0, job_ttl=100.0)
    assert manifest["metadata"]["name"] == "plain-1"
    assert manifest["metadata"]["labels"]["oscar_service"] == "plain"
    assert manifest["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "oscar-bridge"
    assert manifest["metadata"]["annotations"]["oscar-bridge/job-id"] == "plain-1"
    spec = manifest["spec"]
    assert (spec["backoffLimit"], spec["ttlSecondsAfterFinished"]) == (0, 100)
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["activeDeadlineSeconds"] == 90
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    (main,) = pod["containers"]
    assert main["image"] == "example.org/image:1"
    assert main["resources"] == {
        "limits": {"cpu": "0.5", "memory": "256Mi"},
        "requests": {"cpu": "0.5", "memory": "256Mi"},
    }
    (runtime,) = pod["initContainers"]
    assert (runtime["name"], runtime["image"]) == ("bridge-runtime", "runtime:1")
    assert variables(manifest)["BRIDGE_TIMEOUT"] == "30"
    assert "activeDeadlineSeconds" not in made(service())["spec"]["template"]["spec"]


def test_everything_that_a_service_may_ask_for() -> None:
    options = OscarOptions(
        enable_sgx=True,
        image_pull_secrets=("one", "two"),
        annotations={"a": "b"},
        labels={"c": "d", "oscar_service": "not ours to give"},
        interlink_node_name="far",
        volume=Volume(mount_path="/data", name="disk"),
    )
    resources = Resources(Decimal(2), MIB, gpu=1, ephemeral_storage=2 * MIB)
    asked = service(
        options=options,
        resources=resources,
        variables={"A": "$(B)$"},
        secrets={"P": Secret("s3cr3t")},
        inputs=(StoragePath(MINIO, "bucket/in"),),
    )
    toleration = {"key": "gpu", "operator": "Exists"}
    manifest = made(
        asked,
        image_pull_secrets=("two", "three"),
        node_selector={"zone": "x"},
        tolerations=(toleration,),
    )
    facts, pod = manifest["metadata"], manifest["spec"]["template"]["spec"]
    assert facts["labels"]["c"] == "d"
    assert facts["labels"]["oscar_service"] == "plain"
    assert facts["annotations"]["a"] == "b"
    assert manifest["spec"]["template"]["metadata"]["annotations"]["a"] == "b"
    assert [one["name"] for one in pod["imagePullSecrets"]] == ["two", "three", "one"]
    assert pod["nodeSelector"] == {"zone": "x", "kubernetes.io/hostname": "far"}
    assert pod["tolerations"][0] == toleration
    assert pod["tolerations"][1]["key"] == "virtual-node.interlink/no-schedule"
    (main,) = pod["containers"]
    assert main["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert main["resources"]["limits"]["sgx.intel.com/enclave"] == "1"
    assert main["resources"]["requests"]["ephemeral-storage"] == "2Mi"
    assert main["securityContext"]["capabilities"]["add"] == ["SYS_RAWIO"]
    assert main["envFrom"] == [{"secretRef": {"name": "plain"}}]
    assert variables(manifest)["A"] == "$$(B)$$"
    claims = [
        one["persistentVolumeClaim"]["claimName"]
        for one in pod["volumes"]
        if len(one) == 2 and "persistentVolumeClaim" in one
    ]
    assert claims == ["disk"]
    assert "s3cr3t" not in json.dumps(manifest)


def test_a_bucket_is_not_mounted_and_says_why() -> None:
    asked = service(options=OscarOptions(mount=StoragePath(MINIO, "bucket")))
    with pytest.raises(PermanentError, match="privileged"):
        made(asked)


def test_credentials_are_in_secrets_only() -> None:
    asked = service(
        secrets={"P": Secret("pass")},
        inputs=(StoragePath(MINIO, "bucket/in"),),
        options=OscarOptions(volume=Volume(mount_path="/data", size=MIB)),
    )
    found = {
        (one["kind"], one["metadata"]["name"]): one
        for one in service_manifests(asked, ACCESS, "here")
    }
    config = found["ConfigMap", "plain"]["data"]
    assert config["script.sh"] == "echo\n"
    assert "s3cr3t" not in json.dumps(config)
    assert b64decode(found["Secret", "plain"]["data"]["P"]) == b"pass"
    files = found["Secret", "plain-providers"]["data"]
    assert b64decode(files["minio.default.secret_key"]) == b"s3cr3t"
    claim = found["PersistentVolumeClaim", "plain"]["spec"]
    assert claim["resources"]["requests"]["storage"] == "1Mi"
    pod = made(asked)["spec"]["template"]["spec"]
    (providers,) = [one for one in pod["volumes"] if one["name"] == "providers"]
    assert providers["secret"]["items"] == [
        {"key": "minio.default.secret_key", "path": "minio.default/secret_key"}
    ]


def test_a_script_that_no_config_map_can_hold_is_refused() -> None:
    with pytest.raises(PermanentError, match="1000000"):
        service_manifests(service(script_text="x" * 1_100_000), {}, "here")


@pytest.mark.parametrize("size", [10, 99_000, 101_000, 2_500_000])
def test_an_event_arrives_whole(size: int) -> None:
    what = job(b"x" * size)
    manifest, secrets = made(service(), what), list(event_secrets(service(), what, "here", "u"))
    given = variables(manifest)
    if size < 100_000:
        assert secrets == []
        text = given["EVENT"]
    else:
        assert "EVENT" not in given
        assert all(len(b64decode(one["data"]["part"])) <= 900_000 for one in secrets)
        assert {one["metadata"]["ownerReferences"][0]["uid"] for one in secrets} == {"u"}
        text = b"".join(b64decode(one["data"]["part"]) for one in secrets).decode()
        (volume,) = [
            one for one in manifest["spec"]["template"]["spec"]["volumes"] if "projected" in one
        ]
        sources = [one["secret"] for one in volume["projected"]["sources"]]
        assert [one["name"] for one in sources] == [one["metadata"]["name"] for one in secrets]
        paths = [one["items"][0]["path"] for one in sources]
        assert paths == sorted(paths)
    assert json.loads(text)["event"] == "x" * size


def test_an_event_that_is_too_large_for_a_cluster_is_refused() -> None:
    with pytest.raises(PermanentError, match="takes up to"):
        made(service(), job(b"x" * 15_000_000))


@given(st.text(max_size=140), st.integers(1, 2000))
def test_every_name_is_a_name_for_kubernetes(name: str, attempt: int) -> None:
    found = job_name(name, attempt)
    assert LABEL.fullmatch(found)
    assert found == job_name(name, attempt)
    assert found != job_name(name, attempt + 1)
    assert LABEL.fullmatch(object_name(name, "-providers"))


@given(st.sets(st.text(alphabet="aB-_.", min_size=1, max_size=70), min_size=2, max_size=2))
def test_two_names_stay_two(names: set[str]) -> None:
    assert len({object_name(name) for name in names}) == 2


def test_what_a_server_drops_is_found() -> None:
    wanted = {"spec": {"suspend": True, "cpu": "0.50", "list": [{"name": "b", "x": 1}], "no": {}}}
    assert dropped(wanted, wanted) == []
    made = {"spec": {"cpu": "500m", "list": [{"name": "a"}, {"name": "b", "x": 1}], "more": 1}}
    assert dropped(wanted, made) == ["spec.suspend"]
    assert dropped(wanted, {"spec": {"suspend": True, "cpu": "1", "list": [{"name": "b"}]}}) == [
        "spec.list[0].x"
    ]
    off = {"automountServiceAccountToken": False}
    assert dropped(off, {}) == ["automountServiceAccountToken"]


def test_settings_that_are_not_known_are_named() -> None:
    def of(**settings: Any) -> ClusterSettings:
        return ClusterSettings.of(TargetSpec("here", "kubernetes", settings=settings))

    assert of(namespace="x", image_pull_secrets="one").image_pull_secrets == ("one",)
    with pytest.raises(PermanentError, match="namespce is not a setting") as unknown:
        of(namespce="x")
    assert unknown.value.hint == "did you mean namespace?"
    with pytest.raises(PermanentError, match=r"settings\.job_ttl must be a number of seconds"):
        of(job_ttl="1h")
