"""A service as a cluster takes it, and what counts as a difference. No cluster, no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from bridge.fdl import parse
from bridge.fdl.model import Document
from bridge.secret import Secret
from bridge.targets.oscar.body import plain, secrets_in, service_body
from bridge.targets.oscar.compare import differences, unseen
from bridge.targets.oscar.seal import fits, seal

FULL = """
clusters:
  far: {endpoint: 'https://far.example', auth_user: u, auth_password: far-word}
  near: {endpoint: 'https://near.example'}
storage_providers:
  s3: {own: {access_key: the-key, secret_key: the-secret, region: eu-west-1}}
  minio: {other: {endpoint: 'http://other', access_key: a, secret_key: b}}
functions:
  oscar:
  - near:
      name: s
      image: repo/image:1
      script: s.sh
      memory: 1Gi
      cpu: 500m
      timeout: 90s
      log_level: debug
      enable_gpu: true
      input:
      - {storage_provider: minio, path: bucket/in, suffix: [.csv], prefix: [a]}
      output:
      - {storage_provider: s3.own, path: out/x}
      - {storage_provider: minio.near, path: bucket/out}
      environment: {variables: {A: 1}, secrets: {S: the-word}}
      expose: {api_port: 80, min_scale: 1, max_scale: 3, set_auth: true}
      synchronous: {min_scale: 1}
      federation:
        topology: star
        delegation: topsis
        members: [{type: oscar, cluster_id: far, service_name: s, priority: 2}]
      volume: {size: 1Gi, mount_path: /data}
      labels: {team: x}
      visibility: restricted
      allowed_users: [b, a]
      replicas: []
"""


def document(text: str = FULL) -> Document:
    return parse(text, read_script=lambda _: "#!/bin/sh\necho hello\n")


def body(text: str = FULL) -> dict[str, Any]:
    return service_body(document(text).service("s"), "near", document(text))


def as_stored(made: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """What a cluster answers of a body: its own labels, hidden secrets, other units."""
    there = json.loads(json.dumps(plain(made)))
    there["environment"]["secrets"] = dict.fromkeys(there["environment"]["secrets"], "")
    there["labels"] |= {"oscar_service": "s", "queue": "root"}
    there["storage_providers"]["minio"] = {"default": {"access_key": "hidden"}}
    return there | changes


def test_everything_that_the_file_says_is_in_the_body() -> None:
    made = body()
    assert (made["memory"], made["cpu"], made["log_level"]) == ("1Gi", "0.5", "DEBUG")
    assert made["script"] == "#!/bin/sh\necho hello\n"
    assert made["input"] == [
        {
            "storage_provider": "minio.default",
            "path": "bucket/in",
            "suffix": [".csv"],
            "prefix": ["a"],
        }
    ]
    # The cluster's own MinIO by another name is its own there.
    assert [one["storage_provider"] for one in made["output"]] == ["s3.own", "minio.default"]
    assert made["storage_providers"]["s3"]["own"]["region"] == "eu-west-1"
    assert "other" not in made["storage_providers"].get("minio", {})
    assert list(made["clusters"]) == ["far"]
    assert made["federation"]["members"][0]["priority"] == 2
    assert made["timeout"] == "90s" and made["enable_gpu"] is True
    assert made["expose"]["api_port"] == [80]
    assert made["volume"] == {"size": "1Gi", "mount_path": "/data", "lifecycle_policy": "delete"}


def test_secrets_are_values_that_nothing_prints() -> None:
    made = body()
    found = dict(secrets_in(made))
    assert {one.reveal() for one in found.values()} == {
        "the-word",
        "the-key",
        "the-secret",
        "far-word",
    }
    assert not any(one.reveal() in repr(made) for one in found.values())
    assert plain(made)["environment"]["secrets"] == {"S": "the-word"}


def test_a_small_service_has_its_defaults_so_that_they_come_back() -> None:
    text = "functions: {oscar: [{near: {name: s, image: i, script: s.sh}}]}"
    made = body(text)
    assert (made["memory"], made["cpu"], made["visibility"]) == ("256Mi", "0.2", "private")
    assert made["enable_gpu"] is False and made["input"] == [] and made["labels"] == {}
    assert not made.keys() & {"federation", "volume", "kserve", "mount", "timeout", "clusters"}
    json.dumps(plain(made))


def test_what_a_cluster_writes_its_own_way_is_no_difference() -> None:
    made = body()
    there = as_stored(
        made,
        memory="1024Mi",
        cpu="0.50",
        allowed_users=["a", "b"],
        log_level="debug",
        image_pull_secrets=None,
        script=made["script"].replace("\n", "\r\n"),
        expose={**made["expose"], "api_port": 80, "cpu_threshold": "80"},
        volume={**made["volume"], "name": "s"},
    )
    there["input"][0]["storage_provider"] = "MinIO"
    there["federation"]["members"][0]["ssl_verify"] = "true"
    assert differences(made, there) == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"image": "other"}, "image"),
        ({"memory": "2Gi"}, "memory"),
        ({"enable_gpu": False}, "enable_gpu"),
        ({"input": []}, "input"),
        ({"script": "true\n"}, "script"),
        (
            {"environment": {"variables": {"A": "2"}, "secrets": {"S": ""}}},
            "environment.variables.A",
        ),
        ({"environment": {"variables": {"A": "1"}}}, "environment.secrets.S"),
        ({"labels": {}}, "labels.team"),
        ({"expose": {}}, "expose.api_port"),
        ({"timeout": "10s"}, "timeout"),
        ({"synchronous": None}, "synchronous.min_scale"),
    ],
)
def test_what_is_otherwise_is_named(change: dict[str, Any], path: str) -> None:
    made = body()
    assert path in {one.path for one in differences(made, as_stored(made, **change))}


def test_a_block_that_an_old_cluster_does_not_show_is_not_compared() -> None:
    made = body()
    there = as_stored(made, federation=None, volume=None)
    del there["timeout"]
    assert unseen(made, there) == ["federation", "timeout", "volume"]
    assert differences(made, there) == []


def test_credentials_that_a_cluster_hides_are_no_difference_and_settings_are_one() -> None:
    made = body()
    there = as_stored(made)
    there["storage_providers"]["s3"]["own"] = {"access_key": "hidden", "region": "eu-west-1"}
    assert differences(made, there) == []
    there["storage_providers"]["s3"]["own"]["region"] = "us-east-1"
    (one,) = differences(made, there)
    assert one == ("storage_providers.s3.own.region", "us-east-1", "eu-west-1")
    del there["storage_providers"]["s3"]
    assert [one.path for one in differences(made, there)] == ["storage_providers.s3.own.region"]


def test_a_seal_tells_whether_secrets_are_the_same_and_not_what_they_are() -> None:
    values = [("a", Secret("x" * 20)), ("b", Secret("y"))]
    sealed = seal(values)
    assert fits(sealed, values) and not fits(sealed, values[:1])
    assert not fits(sealed, [("a", Secret("z")), ("b", Secret("y"))])
    assert seal(values) != sealed and "x" * 20 not in sealed
    assert fits("", []) and not fits("", values) and not fits(sealed, [])
