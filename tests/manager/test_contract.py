"""What OSCAR's contract says of statuses and bodies and no other test does, each rule once."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from bridge.targets.kubernetes import Node
from bridge.targets.protocol import KeepsLogs

from .conftest import Live
from .test_jobs import finished

BUCKET = "contract"
SIGN = f"/system/buckets/{BUCKET}/presign"
KEY = {"object_key": "k", "operation": "download"}

# Method, path, body, status, and what the answer's text holds. SVC is a service without jobs.
RULES: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/system/config/", None, 200, '"volume_enable":false'),
    ("PUT", "/system/config", {"allowed_image_repositories": "x"}, 400, "list"),
    ("GET", "/system/logs/SVC", None, 200, '{"jobs":{}}'),
    ("GET", "/system/logs/SVC?page=", None, 200, '{"jobs":{}}'),
    ("GET", "/system/logs/SVC?page=%00", None, 400, "page"),
    ("GET", "/system/logs/SVC/absent", None, 404, "absent"),
    ("DELETE", "/system/logs/SVC", None, 204, ""),
    ("DELETE", "/system/logs/SVC?all=True", None, 204, ""),
    ("DELETE", "/system/logs/SVC/absent", None, 404, "absent"),
    ("GET", "/system/logs?timestamps=true&previous=true", None, 200, '{"logs":['),
    ("GET", "/system/services/SVC/deployment", None, 200, '{"service_name":"SVC",'),
    ("GET", "/system/services/SVC/deployment/logs?tailLines=0", None, 200, '"available":false'),
    ("GET", "/system/services/SVC/deployment/logs?tailLines=x", None, 400, "tailLines"),
    ("POST", "/system/services/SVC/stop", None, 400, "not exposed"),
    ("POST", "/system/services/SVC/start", None, 400, "not exposed"),
    ("POST", "/system/services/SVC/restart", None, 400, "not exposed"),
    ("DELETE", "/system/services/absent?namespace=x", None, 404, ""),
    ("POST", "/system/buckets", {"bucket_name": BUCKET}, 400, "already exists"),
    ("PUT", "/system/buckets", {"bucket_name": "absent-one"}, 404, "absent-one"),
    ("GET", f"/system/buckets/{BUCKET}?page=!", None, 400, "page"),
    ("GET", f"/system/buckets/{BUCKET}?limit=0", None, 400, "limit"),
    ("GET", f"/system/buckets/{BUCKET}", None, 200, '"objects":[],"is_truncated":false'),
    ("POST", SIGN, {**KEY, "expires_in": 1}, 200, '"method":"GET"'),
    ("POST", SIGN, {**KEY, "expires_in": 604800}, 200, '"expires_at":"'),
    ("POST", SIGN, {**KEY, "expires": 0, "extra_headers": {}}, 200, '"expires_at":"'),
    ("POST", SIGN, {**KEY, "content_type": "a/b"}, 200, '"headers":{"Content-Type":"a/b"}'),
    ("POST", SIGN, {**KEY, "expires_in": 0}, 400, "expires_in"),
    ("POST", SIGN, {**KEY, "expires_in": 604801}, 400, "expires_in"),
    ("POST", SIGN, {**KEY, "expires_in": "60"}, 400, "expires_in"),
    ("POST", SIGN, {**KEY, "object_key": "a/../b"}, 400, "object_key"),
    ("POST", SIGN, {"operation": "upload"}, 400, "object_key"),
    ("POST", "/system/buckets/absent-one/presign", KEY, 404, "absent-one"),
    ("GET", "/system/volumes", None, 404, "404 page not found"),
    ("GET", "/system/services/", None, 200, "["),
    ("HEAD", "/system/services", None, 404, ""),
]


@pytest.fixture(scope="module")
def service(live: Live) -> str:
    live.ask("POST", "/system/buckets", {"bucket_name": BUCKET})
    return live.create()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule[0]} {rule[1]}")
def test_a_rule_of_the_contract(
    live: Live, service: str, rule: tuple[str, str, Any, int, str]
) -> None:
    method, path, body, status, text = rule
    answer = live.ask(method, path.replace("SVC", service), body)
    assert answer.status == status, answer
    assert text.replace("SVC", service) in answer.text
    if status == 204:
        assert answer.body == b""


def test_a_log_that_is_gone_is_404_and_one_that_is_empty_is_not(live: Live) -> None:
    name = live.create(script="true", log_level="CRITICAL")
    live.ask("POST", f"/job/{name}", b"x")
    (job,) = finished(live, name)
    path = f"/system/logs/{name}/{job}"
    assert live.ask("GET", path).status == 200
    target: Any = live.manager.parts.targets["local"]
    assert isinstance(target, KeepsLogs)
    # As after a restart: what ran here is forgotten.
    target._runs.pop(job)
    assert live.ask("GET", path).status == 404


def test_times_of_the_cluster_are_ones_that_go_reads(live: Live) -> None:
    found = live.ask("GET", "/system/status").json["oscar"]["deployment"]
    assert datetime.fromisoformat(found["creation_timestamp"])
    assert found["labels"] == {}


def test_the_nodes_of_a_cluster_and_what_is_free_of_them(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    has = {"cpu": Decimal(4), "memory": Decimal(2**33), "nvidia.com/gpu": Decimal(1)}
    left = {"cpu": Decimal("2.5"), "memory": Decimal(2**32)}
    nodes = (Node("one", has, left), Node("two", has, has, out="it is cordoned"))
    monkeypatch.setattr(live.manager, "parts", replace(live.manager.parts, nodes=lambda: nodes))
    found = live.ask("GET", "/system/status").json["cluster"]
    assert found["metrics"]["cpu"]["total_schedulable_cores"] == 2500
    assert found["metrics"]["memory"]["max_schedulable_on_node_bytes"] == 2**32
    assert found["metrics"]["gpu"]["total_gpu"] == 2
    first, second = found["nodes"]
    assert first["cpu"] == {"capacity_cores": 4000, "request_cores": 1500}
    assert (first["status"], second["status"]) == ("Ready", "NotReady")


def test_an_absent_service_has_no_body_and_a_token_of_none_no_answer(live: Live) -> None:
    absent = f"s{secrets.token_hex(4)}"
    bearer = {"Authorization": "Bearer " + secrets.token_hex(32)}
    for method, path in (("GET", f"/system/services/{absent}"), ("POST", f"/run/{absent}")):
        assert (live.ask(method, path).status, live.ask(method, path).body) == (404, b"")
    assert live.ask("POST", f"/run/{absent}", b"", bearer).status == 401
