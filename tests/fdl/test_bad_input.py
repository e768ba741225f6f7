"""Every mistake is one clear problem at its place, and all are told at once."""

from __future__ import annotations

import pytest

from bridge.errors import FdlError
from bridge.fdl import parse
from tests.fdl.texts import aws, only, oscar, problem, problems


def test_everything_wrong_is_told_at_once_in_the_files_order() -> None:
    text = (
        "functions:\n"
        "  oscar:\n"
        "  - lab:\n"
        "      name: svc\n"
        "      imagee: busybox\n"
        "      image: busybox\n"
        "      script: run.sh\n"
        "      memory: 1Gb\n"
        "      cpu: [1]\n"
        "  - lab:\n"
        "      name: svc\n"
        "      script: run.sh\n"
        "storage_provider: {}\n"
    )
    assert [str(p) for p in problems(text)] == [
        "f.yaml:5:7: functions.oscar[0].lab.imagee: unknown key (did you mean 'image'?)",
        "f.yaml:8:15: functions.oscar[0].lab.memory: '1Gb' has the unknown unit 'Gb' "
        "(write bytes with a unit, such as 512Mi, 1Gi or 128M)",
        "f.yaml:9:12: functions.oscar[0].lab.cpu: must be an amount of CPU such as 0.5 or 500m, "
        "not a list",
        "f.yaml:11:7: functions.oscar[1].lab: the key 'image' is missing "
        "(add image: container image)",
        "f.yaml:11:13: functions.oscar[1].lab.name: the name 'svc' is taken by the service at "
        "line 4, column 13 (functions.oscar[0].lab.name) (rename one; to let one service run in "
        "several places, write placement.targets)",
        "f.yaml:13:1: storage_provider: unknown key (did you mean 'storage_providers'?)",
    ]


@pytest.mark.parametrize("key", ["name", "image", "script"])
def test_what_every_service_needs(key: str) -> None:
    lines = [line for line in oscar().splitlines() if not line.strip().startswith(f"{key}:")]
    found = problem("\n".join(lines))
    assert (found.path, found.message) == (
        "functions.oscar[0].lab",
        f"the key '{key}' is missing",
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("alpine: 5", "must be true or false, not a number"),
        ("alpine: [true]", "must be true or false, not a list"),
        ("input: {storage_provider: minio, path: x}", "must be a list, not a map"),
        ("input: [minio]", "must be a map, not text"),
        ("input: [~]", "an item of the list is empty"),
        ("labels: [a]", "must be a map, not a list"),
        ("environment: {variables: {A: [b]}}", "must be text, not a list"),
        ("environment: {secrets: {A: [TOP-SECRET]}}", "must be text, not a list"),
        ("environment: {variables: {'A=B': c}}", "'A=B' is not a name of a variable"),
        ("vo: {a: b}", "must be text, not a map"),
        ("synchronous: {min_scale: many}", "'many' is not a whole number"),
        ("synchronous: {min_scale: -1}", "-1 is too small"),
        ("synchronous: {min_scale: true}", "must be a whole number, not true or false"),
        ("expose: {api_port: 70000}", "70000 breaks the limit oscar.port: 0 to 65535"),
        ("visibility: hidden", "'hidden' is not one of private, restricted, public"),
        ("visibility: [private]", "must be one of private, restricted, public, not a list"),
    ],
)
def test_wrong_types(more: str, message: str) -> None:
    found = problem(oscar(more))
    assert found.message.startswith(message)
    assert "TOP-SECRET" not in str(found)


@pytest.mark.parametrize(
    "text",
    [
        oscar("input: [{storage_provider: s3, path: a-bucket/in}]"),
        oscar(
            "input: [{storage_provider: onedata.o, path: in}]",
            "storage_providers: {onedata: {o: {space: s}}}",
        ),
        aws("input: [{storage_provider: minio, path: a-bucket/in}]"),
        aws("input: [{storage_provider: onedata.o, path: in}]")
        + "storage_providers: {onedata: {o: {space: s}}}\n",
    ],
)
def test_inputs_that_cannot_start_a_service(text: str) -> None:
    found = problem(text)
    assert "cannot start a service here" in found.message
    assert found.path.endswith("input[0]")


@pytest.mark.parametrize("kind", ["minio", "s3", "webdav", "onedata", "rucio"])
def test_a_placed_service_may_be_started_by_all(kind: str) -> None:
    text = (
        "functions:\n  bridge:\n  - name: svc\n    image: i\n    script: s\n"
        f"    input: [{{storage_provider: {kind}.p, path: in}}]\n"
        f"storage_providers: {{{kind}: {{p: {{}}}}}}\n"
    )
    assert only(text).inputs[0].provider.type == kind


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("minio.mine", "the storage provider minio.mine is not defined"),
        ("webdav", "the storage provider webdav.default is not defined"),
        ("gcs.x", "'gcs' is not a type of storage provider"),
    ],
)
def test_providers_that_are_not_there(ref: str, message: str) -> None:
    found = problem(oscar(f"output: [{{storage_provider: {ref}, path: a-bucket/out}}]"))
    assert found.message == message
    assert found.path.endswith("output[0].storage_provider")


@pytest.mark.parametrize("path", ["'/'", "' '", "a-bucket/../x", "a-bucket//x", "./a-bucket"])
def test_paths_that_are_none(path: str) -> None:
    found = problem(oscar(f"output: [{{storage_provider: minio, path: {path}}}]"))
    assert found.path.endswith("output[0].path")


def test_the_name_of_a_bucket() -> None:
    text = oscar("output: [{storage_provider: minio, path: My_Bucket/x}]")
    assert "s3.bucket_name" in problem(text).message


def test_a_wrong_name_is_not_told_again_for_each_path() -> None:
    text = oscar("input: [{storage_provider: minio, path: in}]").replace("svc", "No_Name")
    assert problem(text).path.endswith("lab.name")


def test_two_services_of_one_name_in_two_grammars() -> None:
    text = oscar() + aws().replace("functions:\n", "").replace("name: fun", "name: svc")
    found = problem(text)
    assert "line 4, column 13 (functions.oscar[0].lab.name)" in found.message
    assert found.path == "functions.aws[0].lambda.name"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("functions: {}", "no services"),
        ("functions: {oscar: []}", "no services"),
        ("functions: {oscar: [{}]}", "no cluster and no service"),
        ("storage_providers: {}", "the key 'functions' is missing"),
        ("- a", "must be a map, not a list"),
        ("just text", "must be a map, not text"),
        ("functions: {oscar: {lab: {}}}", "must be a list, not a map"),
        ("functions: {oscar: [text]}", "must be a map, not text"),
    ],
)
def test_files_that_are_something_else(text: str, message: str) -> None:
    assert message in problem(text).message


def test_keys_that_are_yours_are_left_alone() -> None:
    assert parse(oscar(rest="x-note: {anything: [1]}\n.hidden: 1")) == parse(oscar())


def test_free_keys_stay_free() -> None:
    service = only(oscar("labels: {a/b: 1}\nannotations: {c: 'true'}"))
    assert service.options is not None


def test_no_secret_is_in_any_message() -> None:
    text = oscar(
        "environment: {secrets: {A: TOP-SECRET}}\ncpu: none\nauth_password: TOP-SECRET",
        """
        clusters: {c: {auth_password: TOP-SECRET, endpoint: [1]}}
        storage_providers:
          s3: {x: {access_key: TOP-SECRET, secret_key: {TOP-SECRET: 1}}}
          onedata: {o: {token: TOP-SECRET, tokenn: TOP-SECRET}}
        targets: {t: {kind: local, settings: {password: TOP-SECRET}, slots: none}}
        """,
    )
    with pytest.raises(FdlError) as caught:
        parse(text)
    assert len(caught.value.problems) == 5
    assert "TOP-SECRET" not in str(caught.value)
