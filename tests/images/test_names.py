"""Names of images, the tag, the labels and the configuration: all pure."""

from __future__ import annotations

import copy
import json

import pytest

from bridge.errors import UsageError
from bridge.images import Reference, Source
from bridge.images._recipe import identity, labels, service_config, tag
from tests.images.pictures import USERS


@pytest.mark.parametrize(
    ("text", "registry", "repository", "version", "again"),
    [
        ("busybox", "docker.io", "library/busybox", "latest", "busybox:latest"),
        ("grycap/cowsay:1", "docker.io", "grycap/cowsay", "1", "grycap/cowsay:1"),
        ("docker.io/library/a:b", "docker.io", "library/a", "b", "a:b"),
        ("ghcr.io/a/b/c:v1", "ghcr.io", "a/b/c", "v1", "ghcr.io/a/b/c:v1"),
        ("localhost/a:1", "localhost", "a", "1", "localhost/a:1"),
        ("localhost:5000/a", "localhost:5000", "a", "latest", "localhost:5000/a:latest"),
        ("[::1]:5000/a:1", "[::1]:5000", "a", "1", "[::1]:5000/a:1"),
        (
            "r.example.org/a@sha256:" + "0" * 64,
            "r.example.org",
            "a",
            "sha256:" + "0" * 64,
            "r.example.org/a@sha256:" + "0" * 64,
        ),
        (
            "r.example.org/a:1@sha256:" + "0" * 64,
            "r.example.org",
            "a",
            "sha256:" + "0" * 64,
            "r.example.org/a:1@sha256:" + "0" * 64,
        ),
    ],
)
def test_a_name_is_read_as_docker_reads_it(
    text: str, registry: str, repository: str, version: str, again: str
) -> None:
    found = Reference.parse(text)
    assert (found.registry, found.repository, found.version) == (registry, repository, version)
    assert str(found) == again
    assert Reference.parse(again) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "a:",
        "a@",
        "a@sha256:1",
        "a b",
        "/a",
        "a/",
        "a//b",
        "x.org/",
        "a:b:c",
        "a:" + "t" * 129,
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageError, match="not the name of an image"):
        Reference.parse(text)


def test_the_identity_is_the_same_from_an_engine_and_from_a_registry() -> None:
    engine = {**USERS, "Hostname": "", "AttachStdin": False, "Volumes": None, "OnBuild": None}
    assert identity("amd64", ["sha256:a"], engine) == identity("amd64", ["sha256:a"], USERS)


@pytest.mark.parametrize(
    ("arch", "layers", "change"),
    [
        ("arm64", ["a", "b"], {}),
        ("amd64", ["b", "a"], {}),
        ("amd64", ["a", "b"], {"User": "0"}),
        ("amd64", ["a", "b"], {"Env": ["PATH=/sbin"]}),
        ("amd64", ["a", "b"], {"Entrypoint": None}),
        ("amd64", ["a", "b"], {"Labels": {"mine": "no"}}),
    ],
)
def test_the_identity_follows_what_can_be_seen(
    arch: str, layers: list[str], change: dict[str, object]
) -> None:
    assert identity(arch, layers, USERS | change) != identity("amd64", ["a", "b"], USERS)


def test_the_tag_follows_the_source_and_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    first = tag("sha256:a", "r")
    assert first == tag("sha256:a", "r")
    assert Reference.parse(f"a:{first}").tag == first
    others = {tag("sha256:b", "r"), tag("sha256:a", "s"), tag("sha256:", "ar")}
    monkeypatch.setattr("bridge.images._recipe.VERSION", "another")
    others.add(tag("sha256:a", "r"))
    assert first not in others
    assert len(others) == 4


SOURCE = Source(
    name="r.example.org/a:1",
    identity="sha256:i",
    arch="amd64",
    where="registry",
    digest="sha256:m",
    entrypoint=("/bin/entry", "-x"),
    command=("serve",),
)


def test_labels_say_where_it_comes_from() -> None:
    found = dict(labels(SOURCE, "r", {}))
    assert json.loads(found["oscar-bridge.entrypoint"]) == ["/bin/entry", "-x"]
    assert json.loads(found["oscar-bridge.command"]) == ["serve"]
    assert found["oscar-bridge.runtime"] == "r"
    assert found["oscar-bridge.source"] == "sha256:i"
    assert found["org.opencontainers.image.base.name"] == "r.example.org/a:1"
    assert found["org.opencontainers.image.base.digest"] == "sha256:m"


def test_the_users_entrypoint_is_not_forgotten_by_a_second_time() -> None:
    first = dict(labels(SOURCE, "r", {}))
    bare = Source("b:1", "sha256:j", "amd64", "engine")
    second = dict(labels(bare, "s", first))
    assert second["oscar-bridge.entrypoint"] == first["oscar-bridge.entrypoint"]
    assert second["oscar-bridge.source"] == "sha256:i"
    assert second["oscar-bridge.runtime"] == "s"
    assert second["org.opencontainers.image.base.name"] == "b:1"


def test_the_configuration_keeps_what_is_the_users() -> None:
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-05-06T07:08:09Z",
        "author": "somebody",
        "container_config": {"Entrypoint": ["/old"]},
        "config": USERS,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:a"]},
        "history": [{"created_by": "before"}],
    }
    before = copy.deepcopy(document)
    made = service_config(document, "sha256:new", (("l", "v"),))
    assert document == before
    inner = made["config"]
    assert {key: inner[key] for key in ("User", "Env", "WorkingDir")} == {
        key: USERS[key] for key in ("User", "Env", "WorkingDir")
    }
    assert "Entrypoint" not in inner
    assert "Cmd" not in inner
    assert inner["Labels"] == {"mine": "yes", "l": "v"}
    assert made["rootfs"]["diff_ids"] == ["sha256:a", "sha256:new"]
    assert made["created"] == document["created"]
    assert made["author"] == "somebody"
    assert "container_config" not in made
    assert len(made["history"]) == 2
