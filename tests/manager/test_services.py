"""Services by REST: shapes, statuses and leniency, each rule of OSCAR's contract once."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from bridge.errors import NotFoundError, TargetUnavailable
from bridge.fdl.model import ProviderRef
from manager.auth import ADMIN

from .conftest import Live, basic, echo

PATH = "/system/services"
ORDER = [
    "name", "cluster_id", "memory", "cpu", "total_memory", "total_cpu",
    "ephemeral_storage_request", "enable_gpu", "enable_sgx", "image_prefetch", "synchronous",
    "log_level", "image", "alpine", "token", "file_stage_in", "input", "output", "script",
    "expose", "environment", "annotations", "vo", "labels", "storage_providers", "owner",
    "namespace", "interlink_node_name", "visibility", "allowed_users", "isolation_level",
    "bucket_list", "mount", "volume_status",
]  # fmt: skip


def fresh() -> str:
    return f"s{secrets.token_hex(4)}"


def test_a_service_is_read_back_with_every_key_in_oscars_order(live: Live) -> None:
    name = live.create(script="one\r\ntwo\r\n", cluster_id="my-oscar", cpu=0.5)
    answer = live.ask("GET", f"{PATH}/{name}")
    found = answer.json
    assert list(found) == ORDER
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert f'"name":"{name}","cluster_id":"my-oscar","memory":"64Mi","cpu":"0.5"' in answer.text
    assert found["script"] == "one\ntwo\n"
    assert len(found["token"]) == 64
    assert int(found["token"], 16)
    assert found["labels"]["oscar_service"] == name
    assert found["labels"]["owner_name"] == "oscar"
    assert found["owner"] == "cluster_admin"
    assert "api_port" not in found["expose"]
    assert found["storage_providers"]["minio"]["default"]["access_key"] == "hidden"
    assert found["storage_providers"]["minio"]["default"]["endpoint"] == live.store.endpoint


def test_absent_is_404_without_a_body_and_a_bad_name_is_400(live: Live) -> None:
    absent = live.ask("GET", f"{PATH}/{fresh()}")
    assert (absent.status, absent.body) == (404, b"")
    assert live.ask("GET", f"{PATH}/Not_A_Name").status == 400
    assert live.ask("PUT", PATH, echo(name=fresh())).status == 404
    assert live.ask("DELETE", f"{PATH}/{fresh()}").status == 404


WRONG: list[tuple[str, Any]] = [
    ("no JSON", b'{"name":'),
    ("no object", b"[]"),
    ("nothing", b""),
    ("not UTF-8", b'{"name":"\xff"}'),
    ("nested without end", b"[" * 100_000),
    ("nested deeply", b'{"name":"x","kserve":' + b'{"a":' * 400 + b"1" + b"}" * 401),
    ("NUL", json.dumps(echo(environment={"variables": {"A": "\0"}})).encode()),
    ("a number for text", echo(image=5)),
    ("text for a flag", echo(enable_gpu="perhaps")),
    ("no image", {"name": "x", "script": "y"}),
    ("no script", {"name": "x", "image": "y"}),
    ("a long name", echo(name="x" * 40)),
    ("a name that leads away", echo(name="../x")),
    ("an upper-case name", echo(name="Upper")),
    ("a bad quantity", echo(memory="lots")),
    ("an empty input path", echo(input=[{"storage_provider": "minio", "path": " / "}])),
    ("an input that leads away", echo(input=[{"storage_provider": "minio", "path": "a/../b"}])),
    ("an input on S3", echo(input=[{"storage_provider": "s3", "path": "b/in"}])),
    ("an unknown provider", echo(output=[{"storage_provider": "s3.mine", "path": "far/out"}])),
    ("an unknown policy", echo(placement={"policy": "luckiest"})),
    ("a volume in our place", echo(volume={"size": "1Gi", "mount_path": "/oscar/bin"})),
]


@pytest.mark.parametrize(("what", "body"), WRONG, ids=[what for what, _ in WRONG])
def test_a_wrong_body_is_400_in_plain_text_and_changes_nothing(
    live: Live, what: str, body: Any
) -> None:
    before = live.ask("GET", PATH).json
    answer = live.ask("POST", PATH, body)
    assert answer.status == 400, answer
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text
    assert len(answer.text) < 500
    assert live.ask("GET", PATH).json == before


def test_a_body_above_the_limit_is_413(live: Live) -> None:
    large = b'{"name":"' + b"x" * live.manager.settings.max_service + b'"}'
    assert live.ask("POST", PATH, large).status == 413


def test_keys_in_any_case_unknown_keys_and_blank_values_are_taken(live: Live) -> None:
    name = fresh()
    body = {
        "Name": name,
        "IMAGE": "busybox",
        "Script": "true",
        "token": "mine",
        "owner": "me",
        "what_is_this": {"x": 1},
        "total_memory": "",
        "vo": "",
        "kserve": None,
        "mount": {"storage_provider": "", "path": ""},
        "expose": {"min_scale": 0, "api_port": 0, "nodePort": None},
        "environment": {"Variables": {"A": "b"}, "Secrets": {"S": "t"}},
        "log_level": "loud",
        "storage_providers": {"minio": {"default": {"access_key": "stolen", "secret_key": "x"}}},
    }
    answer = live.ask("POST", PATH + "/", body, {**basic(), "Content-Type": "text/json"})
    assert (answer.status, answer.body) == (201, b"")
    found = live.ask("GET", f"{PATH}/{name}/").json
    assert found["environment"] == {"variables": {"A": "b"}, "secrets": {"S": ""}}
    assert found["log_level"] == "INFO"
    assert found["owner"] == "cluster_admin"
    assert found["token"] != "mine"
    assert found["storage_providers"]["minio"]["default"]["access_key"] == "hidden"


def test_a_chunked_body_is_read(live: Live) -> None:
    parts = json.dumps(echo(name=fresh())).encode()
    answer = live.ask("POST", PATH, iter([parts[:9], parts[9:]]), encode_chunked=True)
    assert answer.status == 201


def test_the_same_name_again_is_400_and_says_so(live: Live) -> None:
    name = live.create()
    again = live.ask("POST", PATH, echo(name=name))
    assert again.status == 400
    assert "already exists" in again.text


def test_an_update_keeps_token_and_secrets_that_come_back_blank(live: Live) -> None:
    name = live.create(
        environment={"variables": {"A": "1"}, "secrets": {"PASS": "word", "OTHER": "thing"}},
        storage_providers={"s3": {"far": {"access_key": "AK", "secret_key": "SK"}}},
        output=[{"storage_provider": "s3.far", "path": "far/out"}],
    )
    before = live.ask("GET", f"{PATH}/{name}").json
    changed = {**before, "memory": "128Mi", "environment": {"variables": {"A": "2"}}}
    changed["storage_providers"]["s3"]["far"]["secret_key"] = "hidden"
    changed["environment"]["secrets"] = {"PASS": "", "NEW": "one"}
    answer = live.ask("PUT", PATH, changed)
    assert (answer.status, answer.body) == (204, b"")
    after = live.ask("GET", f"{PATH}/{name}").json
    assert (after["token"], after["memory"]) == (before["token"], "128Mi")
    assert after["environment"]["variables"] == {"A": "2"}
    assert set(after["environment"]["secrets"]) == {"PASS", "OTHER", "NEW"}
    assert after["storage_providers"]["s3"]["far"]["secret_key"] == "SK"
    kept = live.manager.find(name)
    assert kept is not None
    assert kept.service.secrets["PASS"].reveal() == "word"
    assert "word" not in repr(kept)


def test_an_update_of_a_service_that_is_gone_does_not_bring_it_back(live: Live) -> None:
    name = live.create()
    seen = live.manager.find(name)
    assert seen is not None
    live.manager.delete(name)
    with pytest.raises(NotFoundError):
        live.manager.update(ADMIN, seen, seen.source)
    live.create(name=name)
    with pytest.raises(NotFoundError):
        live.manager.update(ADMIN, seen, seen.source)


def test_a_target_that_is_left_and_away_does_not_keep_new_inputs_silent(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, bucket = live.create(), f"b-{secrets.token_hex(4)}"

    def away(_: Any) -> None:
        raise TargetUnavailable("it is away")

    with monkeypatch.context() as patch:
        # What has an input is placed elsewhere.
        patch.setattr(
            live.manager.places, "all", lambda one: [] if one.service.inputs else ["local"]
        )
        patch.setattr(live.manager.parts.targets["local"], "remove", away)
        fed = echo(name=name, input=[{"storage_provider": "minio", "path": f"{bucket}/in"}])
        assert live.ask("PUT", PATH, fed).status == 503
    assert [rule.prefix for rule in live.store.rules(bucket)] == ["in/"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"environment": "x"},
        {"environment": {"variables": 5}},
        {"storage_providers": {"s3": {"far": {"access_key": []}}}},
        {"clusters": {"far": {"endpoint": {}}}},
        {"placement": {"targets": [{}]}},
        {"placement": {"prefer": {"target": []}}},
    ],
)
def test_an_update_of_wrong_types_is_400(live: Live, wrong: dict[str, Any]) -> None:
    name = live.create(
        environment={"secrets": {"S": "t"}},
        storage_providers={"s3": {"far": {"access_key": "AK", "secret_key": "SK"}}},
        clusters={"far": {"endpoint": "https://far.example"}},
    )
    assert live.ask("PUT", PATH, echo(name=name, **wrong)).status == 400


def test_a_wrong_query_is_400_in_plain_text(live: Live) -> None:
    answer = live.ask("GET", f"{PATH}/{live.create()}/deployment/logs?tailLines=many")
    assert (answer.status, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8")
    assert "tailLines" in answer.text


def test_two_services_may_call_different_things_by_one_name(live: Live) -> None:
    def far(key: str) -> dict[str, Any]:
        keys = {"access_key": key, "secret_key": f"{key}-secret"}
        return {
            "storage_providers": {"s3": {"default": keys}},
            "output": [{"storage_provider": "s3", "path": "far/out"}],
        }

    names = [live.create(**far(key)) for key in ("AK1", "AK2")]
    for name, key in zip(names, ("AK1", "AK2"), strict=True):
        found = live.ask("GET", f"{PATH}/{name}").json
        assert found["storage_providers"]["s3"]["default"]["access_key"] == key
        assert found["output"] == [{"storage_provider": "s3", "path": "far/out"}]
        one = live.manager.find(name)
        assert one is not None
        access = live.manager.parts.access[one.service.outputs[0].provider]
        assert access.secrets["access_key"].reveal() == key
    assert ProviderRef("s3") not in live.manager.parts.access
    heard = {**far("AK3"), "input": [{"storage_provider": "s3", "path": "far/in"}]}
    assert live.ask("POST", PATH, echo(name=fresh(), **heard)).status == 400
    before = len(live.manager.parts.access)
    assert live.ask("DELETE", f"{PATH}/{names[0]}").status == 204
    assert len(live.manager.parts.access) == before - 1


def test_a_volume_cannot_be_changed(live: Live) -> None:
    name = live.create(volume={"size": "1Gi", "mount_path": "/data"})
    wish = echo(name=name, volume={"size": "2Gi", "mount_path": "/data"})
    assert live.ask("PUT", PATH, wish).status == 400


def test_ports_are_a_list_but_a_number_for_gos_clients(live: Live) -> None:
    name = live.create(expose={"api_port": "8080", "min_scale": 2})
    assert live.ask("GET", f"{PATH}/{name}").json["expose"]["api_port"] == [8080]
    go = {**basic(), "User-Agent": "Go-http-client/1.1"}
    found = live.ask("GET", f"{PATH}/{name}", headers=go).json["expose"]
    assert found["api_port"] == 8080
    assert (found["min_scale"], found["health_path"]) == (2, "/")


def test_what_was_before_federation_is_kept_in_it(live: Live) -> None:
    replica = {"type": "oscar", "cluster_id": "far", "service_name": "x", "priority": 3}
    name = live.create(replicas=[replica], delegation="random")
    found = live.ask("GET", f"{PATH}/{name}").json["federation"]
    assert found["delegation"] == "random"
    assert found["members"][0]["priority"] == 3


def test_our_own_keys_ride_along(live: Live) -> None:
    placement = {"targets": ["my-cluster", "aws-lambda"], "policy": "fastest"}
    name = live.create(timeout="30s", placement=placement)
    found = live.ask("GET", f"{PATH}/{name}").json
    assert (found["timeout"], found["placement"]) == ("30s", placement)
    one = live.manager.find(name)
    assert one is not None
    assert one.service.timeout == 30
    # Those targets are of the file's world; here there is one.
    assert one.service.placement.targets == ("local",)


def test_an_existing_bucket_is_attached_to_and_outlives_its_services(live: Live) -> None:
    bucket = f"b-{secrets.token_hex(4)}"
    first = live.create(output=[{"storage_provider": "minio.default", "path": f"{bucket}/mid"}])
    second = live.create(input=[{"storage_provider": "minio", "path": f"/{bucket}/mid/"}])
    assert live.ask("GET", f"{PATH}/{second}").json["input"][0]["path"] == f"{bucket}/mid"
    for name in (first, second):
        assert live.ask("DELETE", f"{PATH}/{name}").status == 204
        assert live.ask("GET", f"{PATH}/{name}").status == 404
    assert live.store.has_bucket(bucket)
    assert live.store.rules(bucket) == ()


def test_a_service_that_would_start_itself_is_refused(live: Live) -> None:
    place = [{"storage_provider": "minio", "path": f"loop-{secrets.token_hex(4)}/in"}]
    answer = live.ask("POST", PATH, echo(name=fresh(), input=place, output=place))
    assert answer.status == 400, answer


def test_images_from_elsewhere_are_refused_once_repositories_are_named(live: Live) -> None:
    try:
        said = live.ask("PUT", "/system/config", {"allowed_image_repositories": ["ghcr.io/grycap"]})
        assert said.text == '{"allowed_image_repositories":["ghcr.io/grycap"]}'
        refused = live.ask("POST", PATH, echo(name=fresh()))
        assert refused.status == 400
        assert live.ask("POST", PATH, echo(name=fresh(), image="ghcr.io/grycap/x")).status == 201
    finally:
        live.ask("PUT", "/system/config", {"allowed_image_repositories": []})


def test_the_list_and_how_services_stand(live: Live) -> None:
    name = live.create()
    found = {one["name"]: one for one in live.ask("GET", f"{PATH}?include=deployment").json}
    assert found[name]["deployment"]["state"] == "ready"
    assert "deployment" not in live.ask("GET", f"{PATH}/{name}").json
