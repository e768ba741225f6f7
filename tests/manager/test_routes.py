"""Every route of the manager with every sort of caller, and with browsers of other origins.

The routes are the application's own: one that has no row here fails.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from joserfc.jwk import RSAKey

from manager.app import create_app

from .conftest import Live, basic, echo, minio
from .issuer import MEMBER, Provider
from .test_jobs import finished

SVC, BUCKET, VOLUME = "routes", "routes-bucket", "routes-volume"
OF_SERVICE, OF_BUCKET, OF_VOLUME = {"name": SVC}, {"name": BUCKET}, {"name": VOLUME}
ORIGIN = {"Origin": "https://dashboard.example"}
MADE = echo(name="routes-made")
MEMBER_OF = {"type": "oscar", "cluster_id": "far", "service_name": "x"}
MEMBERS, UPDATE = {"members": [MEMBER_OF]}, {"update": [MEMBER_OF | {"priority": 2}]}
WISH = {"object_key": "k", "operation": "download"}


class Row(NamedTuple):
    """What a route answers to its rightful caller and to another member of the cluster (None: it is
    nobody's yet). `right` is who may: the owner, the administrator, the store, or anyone at all."""

    status: int
    other: int | None
    names: Mapping[str, str] = {}
    body: Any = None
    query: str = ""
    right: str = "owner"


def opened(status: int = 200, names: Mapping[str, str] = OF_SERVICE) -> Row:
    return Row(status, status, names, right="anyone")


# In this order, so that what is needed is removed last. JOB is a job of the service.
OF_JOB = {"name": SVC, "job": "JOB"}
EXPOSED = "/system/services/{name}/exposed"
ROWS: dict[str, Row] = {
    "GET /health": opened(),
    "GET /ready": opened(),
    "GET /metrics": Row(200, 403, right="admin"),
    "GET /openapi.json": opened(),
    "HEAD /openapi.json": opened(),
    "GET /events": opened(),
    "HEAD /events": opened(),
    "POST /events": Row(200, 401, right="store"),
    # They ask for what the service wants: this one shows no server, whoever asks.
    **{
        f"{method} {EXPOSED}{rest}": opened(404, {"rest": "x", "name": SVC})
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        for rest in ("", "/{rest:path}")
    },
    "GET /system/info": Row(200, 200),
    "GET /system/config": Row(200, 200),
    "PUT /system/config": Row(200, 401, body={"allowed_image_repositories": []}, right="admin"),
    "GET /system/status": Row(200, 200),
    "GET /system/logs": Row(200, 403, right="admin"),
    "POST /system/services": Row(201, None, body=MADE),
    "PUT /system/services": Row(204, 404, body=MADE),
    "GET /system/services": Row(200, 200),
    "GET /system/services/{name}": Row(200, 403, OF_SERVICE),
    "GET /system/services/{name}/deployment": Row(200, 403, OF_SERVICE),
    "GET /system/services/{name}/deployment/logs": Row(200, 403, OF_SERVICE),
    # It shows no server: 400 says so to who may change it.
    "POST /system/services/{name}/start": Row(400, 404, OF_SERVICE),
    "POST /system/services/{name}/stop": Row(400, 404, OF_SERVICE),
    "POST /system/services/{name}/restart": Row(400, 404, OF_SERVICE),
    "GET /system/services/{name}/auth": Row(404, 403, OF_SERVICE),
    "POST /run/{name}": Row(200, 404, OF_SERVICE, b"x"),
    "POST /job/{name}": Row(201, 404, OF_SERVICE, b"x"),
    "GET /system/logs/{name}": Row(200, 403, OF_SERVICE),
    "GET /system/logs/{name}/{job}": Row(200, 403, OF_JOB),
    "GET /system/metrics": Row(200, 200),
    "GET /system/metrics/breakdown": Row(200, 200, query="?group_by=service"),
    "GET /system/metrics/{name}": Row(200, 403, OF_SERVICE),
    "GET /system/federation/{name}": Row(200, 403, OF_SERVICE),
    "POST /system/federation/{name}": Row(200, 404, OF_SERVICE, MEMBERS),
    "PUT /system/federation/{name}": Row(200, 404, OF_SERVICE, MEMBERS | UPDATE),
    "DELETE /system/federation/{name}": Row(200, 404, OF_SERVICE, MEMBERS),
    "GET /system/quotas/user": Row(200, 200),
    "GET /system/quotas/user/{name:path}": Row(200, 403, {"name:path": "ann"}, right="admin"),
    "PUT /system/quotas/user/{name:path}": Row(
        200, 403, {"name:path": "ann"}, {"cpu": ""}, right="admin"
    ),
    "POST /system/volumes": Row(201, None, body={"name": VOLUME, "size": "1Gi"}),
    "GET /system/volumes": Row(200, 200),
    "GET /system/volumes/{name}": Row(200, 404, OF_VOLUME),
    "POST /system/buckets": Row(201, None, body={"bucket_name": BUCKET}),
    "PUT /system/buckets": Row(204, 403, body={"bucket_name": BUCKET}),
    "GET /system/buckets": Row(200, 200),
    "GET /system/buckets/{name}": Row(200, 403, OF_BUCKET),
    "POST /system/buckets/{name}/presign": Row(200, 403, OF_BUCKET, WISH),
    "GET /api/v1/jobs": Row(200, 200),
    "GET /api/v1/jobs/{job}": Row(200, 404, OF_JOB),
    "GET /api/v1/jobs/{job}/decision": Row(200, 404, OF_JOB),
    "GET /api/v1/services/{name}/plan": Row(200, 403, OF_SERVICE),
    "GET /api/v1/services/{name}/decision": Row(200, 403, OF_SERVICE),
    "GET /api/v1/policies/compare": Row(200, 200, query="?policy=balanced"),
    "GET /api/v1/estimates": Row(200, 403, query=f"?service={SVC}"),
    "GET /api/v1/targets": Row(200, 200),
    "GET /api/v1/cost": Row(200, 200),
    "GET /api/v1/events": Row(200, 403, query=f"?service={SVC}"),
    "GET /api/v1/dead-letters": Row(200, 200),
    "POST /api/v1/dead-letters/redrive": Row(200, 404, query=f"?service={SVC}"),
    "DELETE /api/v1/dead-letters": Row(204, 404, query=f"?service={SVC}"),
    # The job is over and has succeeded: 409 says so to who may change it.
    "POST /api/v1/dead-letters/{job}/redrive": Row(409, 404, OF_JOB),
    "DELETE /api/v1/dead-letters/{job}": Row(409, 404, OF_JOB),
    "POST /api/v1/jobs/{job}/cancel": Row(409, 404, OF_JOB),
    "POST /api/v1/jobs/{job}/replay": Row(201, 404, OF_JOB),
    "POST /api/v1/services/{name}/token": Row(200, 404, OF_SERVICE),
    "DELETE /system/logs/{name}/{job}": Row(204, 403, OF_JOB),
    "DELETE /system/logs/{name}": Row(204, 404, OF_SERVICE),
    "DELETE /system/volumes/{name}": Row(204, 404, OF_VOLUME),
    "DELETE /system/buckets/{name}": Row(204, 403, OF_BUCKET),
    "DELETE /system/services/{name}": Row(204, 404, OF_SERVICE),
}


def routes_of(routes: Any) -> Iterator[str]:
    """Method and path of each route."""
    for one in routes:
        if (router := getattr(one, "original_router", None)) is not None:
            yield from routes_of(router.routes)
        else:
            yield from (f"{m} {one.path}" for m in getattr(one, "methods", ["WEBSOCKET"]))


@pytest.fixture(scope="module")
def live(shared: Live) -> Live:
    return shared


@pytest.fixture(scope="module")
def job(live: Live, provider: Provider) -> str:
    """One that is over, of a service of ann's."""
    ann = provider.header("ann", **MEMBER)
    body = echo(name=SVC, script="echo said", input=minio(f"{SVC}-in/x"))
    assert live.ask("POST", "/system/services", body, ann).status == 201
    assert live.ask("POST", f"/job/{SVC}", b"x", ann).status == 201
    (found,) = finished(live, SVC)
    return found


def asked(
    live: Live, route: str, row: Row, job: str, headers: Mapping[str, str]
) -> tuple[int, str]:
    """Status, and which origins may read it; the body is not waited for: a stream has no end."""
    method, _, path = route.partition(" ")
    for name, value in row.names.items():
        path = path.replace(f"{{{name}}}", job if value == "JOB" else value)
    path = path.replace("{rest:path}", "x")
    body = json.dumps(row.body).encode() if isinstance(row.body, dict) else row.body
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
    try:
        connection.request(method, path + row.query, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.getheader("access-control-allow-origin", "")
    finally:
        connection.close()


def test_no_route_is_left_out(live: Live) -> None:
    found = {
        route for route in routes_of(create_app(live.manager).routes) if "OPTIONS " not in route
    }
    # Who may open these is asked in test_exposed.
    talking = {f"WEBSOCKET {EXPOSED}{rest}" for rest in ("", "/{rest:path}")}
    assert found == ROWS.keys() | talking


def test_every_route_knows_who_may(live: Live, provider: Provider, job: str) -> None:
    stranger = RSAKey.generate_key(2048, {"kid": "first"})
    nobody: dict[str, tuple[dict[str, str], set[int]]] = {
        "none": ({}, {401}),
        "wrong password": (basic(password="wrong"), {401}),
        # A token that nobody has: `/run` and `/job` take it for one of a service.
        "wrong token": ({"Authorization": f"Bearer {'0' * 64}"}, {400, 401}),
        "forged": (provider.header("ann", key=stranger, **MEMBER), {401}),
        "expired": (provider.header("ann", exp=int(time.time()) - 1000, **MEMBER), {401}),
    }
    right = {
        "owner": provider.header("ann", **MEMBER),
        "admin": basic(),
        "store": {"Authorization": f"Bearer {live.token}"},
        "anyone": {},
    }
    other = provider.header("bob", **MEMBER)
    wrong: dict[str, int] = {}
    for route, row in ROWS.items():
        for why, (header, expected) in nobody.items():
            status, origins = asked(live, route, row, job, header | ORIGIN)
            if status not in ({row.status} if row.right == "anyone" else expected):
                wrong[f"{route}: {why}"] = status
            # A browser shows its user only what its page may read.
            if not origins and route != "POST /events":
                wrong[f"{route}: {why}, for a browser"] = status
        for who, header, wanted in (
            ("other", other, row.other),
            ("right", right[row.right], row.status),
        ):
            if wanted is not None and (status := asked(live, route, row, job, header)[0]) != wanted:
                wrong[f"{route}: {who}"] = status
    assert wrong == {}, wrong


def test_browsers_of_other_origins_may_ask_first(live: Live) -> None:
    wrong: dict[str, object] = {}
    for route in ROWS:
        method, _, path = route.partition(" ")
        wish = {"Access-Control-Request-Method": method}
        wish |= {"Access-Control-Request-Headers": "Authorization, Content-Type"}
        answer = live.ask("OPTIONS", path.replace("{rest:path}", "x"), headers=ORIGIN | wish)
        said = answer.headers
        allowed = said.get("access-control-allow-headers", "").lower()
        methods = said.get("access-control-allow-methods", "")
        if answer.status != 200 or method not in methods or "authorization" not in allowed:
            wrong[route] = answer
    assert wrong == {}
