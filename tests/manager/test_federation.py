"""The members of a service's federation, on a manager whose members are real managers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from manager.federation import _body as federated
from manager.sharing import row_of

from .conftest import PASSWORD, USER, Live

FAR = {"type": "oscar", "cluster_id": "far", "service_name": "x", "priority": 0}


def path(name: str) -> str:
    return f"/system/federation/{name}"


def test_members_come_change_and_go(live: Live) -> None:
    name = live.create(environment={"secrets": {"KEY": "kept"}})
    assert live.ask("GET", path(name)).text == '{"topology":"none","members":null}'
    clusters = {"far": {"endpoint": "https://far.example", "auth_password": "s3cret"}}
    added = live.ask("POST", path(name), {"members": [FAR], "clusters": clusters})
    assert (added.status, added.json["topology"]) == (200, "none")
    assert FAR.items() <= added.json["members"][0].items()
    other = {"type": "endpoint", "url": "https://a.example", "headers": {"X": "y"}}
    assert len(live.ask("POST", path(name), {"members": [FAR, other]}).json["members"]) == 2
    wish = {"members": [{**FAR, "type": "OSCAR"}], "update": [{**FAR, "priority": 7}]}
    assert [m["priority"] for m in live.ask("PUT", path(name), wish).json["members"]] == [7, 0]
    assert live.ask("GET", f"/system/services/{name}").json["clusters"]["far"]
    assert (
        live.ask("DELETE", path(name), {"members": [FAR]}).json["members"][0]["type"] == "endpoint"
    )
    gone = live.ask("DELETE", path(name), {"members": [FAR, other]})
    assert (gone.status, gone.json["members"]) == (200, None)
    kept = live.manager.find(name)
    assert kept is not None
    assert kept.service.secrets["KEY"].reveal() == "kept"


def test_wrong_wishes_change_nothing(live: Live) -> None:
    name = live.create()
    wrong: list[tuple[str, Any, int]] = [
        ("POST", {}, 400),
        ("POST", b"{", 400),
        ("POST", {"members": "x"}, 400),
        ("POST", {"members": [{"type": "planet"}]}, 400),
        ("POST", {"members": [FAR], "clusters": {"far": 5}}, 400),
        ("POST", {"members": [FAR], "delete": "yes"}, 400),
        ("PUT", {"members": [FAR]}, 400),
        ("PUT", {"members": [FAR], "update": [FAR]}, 404),
    ]
    for method, body, status in wrong:
        assert live.ask(method, path(name), body).status == status, body
    assert live.ask("GET", path(name)).json["members"] is None


def test_removed_members_that_are_services_here_go_when_asked_for(live: Live) -> None:
    name, twin = live.create(cluster_id="here"), live.create()
    members = [{**FAR, "cluster_id": where, "service_name": twin} for where in ("far", "here")]
    live.ask("POST", path(name), {"members": members})
    assert live.ask("DELETE", path(name), {"members": members[:1], "delete": True}).status == 200
    assert live.ask("GET", f"/system/services/{twin}").status == 200
    assert live.ask("DELETE", path(name), {"members": members[1:], "delete": True}).status == 200
    assert live.ask("GET", f"/system/services/{twin}").status == 404
    assert live.ask("GET", f"/system/services/{name}").status == 200


def test_a_member_is_told_no_secret_that_it_does_not_need(live: Live) -> None:
    def clusters() -> dict[str, Any]:
        access = {"endpoint": live.url, "auth_user": USER, "auth_password": PASSWORD}
        other = {"endpoint": "http://127.0.0.1:9", "auth_user": "x"}
        names = {"next": "next-password", "elsewhere": "elsewhere-password"}
        return {"far": access} | {k: {**other, "auth_password": v} for k, v in names.items()}

    keys = {"access_key": "key", "endpoint": "http://127.0.0.1:9"}
    providers = {
        "minio": {"next": {**keys, "secret_key": "written-to"}},
        "s3": {"other": {"access_key": "key", "secret_key": "nobodys-here"}},
    }
    for topology, secrets, told, kept in (
        ("star", {}, [], ["next-password"]),
        ("mesh", {}, ["next-password"], []),
        ("mesh", {"refresh_token": "to-go-on"}, [], ["next-password"]),
    ):
        name = live.create(
            cluster_id="here",
            output=[{"storage_provider": "minio.next", "path": "there/out"}],
            storage_providers=providers,
        )
        members = [{**FAR, "service_name": f"{name}-far"}, {**FAR, "cluster_id": "next"}]
        made = live.manager.find(name)
        assert made is not None
        federation = {"topology": topology, "members": members}
        said = made.source["service"] | {"federation": federation}
        said["environment"] = {"secrets": secrets}
        one = replace(made, source={**made.source, "service": said, "clusters": clusters()})
        one = live.manager._deployed(replace(row_of(one), name=""))
        body = json.dumps(federated(one, members[0]))
        for secret in [*told, "written-to", *secrets.values()]:
            assert secret in body, (topology, secret)
        for secret in [*kept, PASSWORD, "elsewhere-password", "nobodys-here"]:
            assert secret not in body, (topology, secret)
        assert ("http://127.0.0.1:9" in json.loads(body)["clusters"].get("next", {}).values()) == (
            topology == "mesh"
        )


def test_what_came_from_a_federation_goes_no_further(live: Live) -> None:
    away = {"endpoint": "http://127.0.0.1:9", "auth_user": "x", "auth_password": "y"}
    name = live.create(
        annotations={"oscar.grycap/federation-worker": "true"},
        federation={"topology": "mesh", "members": [{**FAR, "cluster_id": "away"}]},
        clusters={"away": away},
    )
    found = live.ask("GET", f"/system/services/{name}").json
    assert live.ask("PUT", "/system/services", found).status == 204


def test_members_get_the_service_and_who_does_not_is_named(live: Live) -> None:
    # The manager is its own member, under another name: it is as far as any other.
    name = live.create(cluster_id="here", federation={"topology": "star", "members": []})
    stranger = live.create()
    clusters = {
        "far": {"endpoint": live.url, "auth_user": USER, "auth_password": PASSWORD},
        "away": {"endpoint": "http://127.0.0.1:9", "auth_user": "x", "auth_password": "s3cret"},
    }
    member = {**FAR, "service_name": f"{name}-far"}
    told = live.ask("POST", path(name), {"members": [member], "clusters": clusters})
    assert (told.status, told.json["topology"]) == (200, "star")
    changed = live.ask("GET", f"/system/services/{name}").json | {"memory": "128Mi"}
    assert live.ask("PUT", "/system/services", changed).status == 204
    made = live.ask("GET", f"/system/services/{name}-far").json
    assert made["annotations"]["oscar.grycap/origin-service"] == name
    assert "federation" not in made
    assert made["memory"] == "128Mi"
    wish = {
        "members": [
            {**FAR, "cluster_id": "away"},
            {**FAR, "cluster_id": "unknown"},
            {**FAR, "cluster_id": "far", "service_name": stranger},
        ]
    }
    warned = live.ask("POST", path(name), wish)
    assert (warned.status, warned.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    for said in ("member away:", "member unknown:", f"it has another service {stranger}"):
        assert said in warned.text
    assert "s3cret" not in warned.text
    assert len(live.ask("GET", path(name)).json["members"]) == 4
    again = live.ask("PUT", "/system/services", changed | {"federation": {
        "topology": "star", "members": wish["members"]}})  # fmt: skip
    assert (again.status, "member away:" in again.text) == (200, True)
    assert "annotations" in live.ask("GET", f"/system/services/{stranger}").json
