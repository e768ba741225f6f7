"""An OSCAR cluster in the words of oscar-cli; the manager is ours."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bridge.cli.main import app
from bridge.cli.oscar import bucket, service
from tests.cli.test_clusters import NO_AWS, Lab, inside
from tests.command import Done
from tests.manager.conftest import PASSWORD, USER, serve

WORD = "the-word-that-nobody-sees"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("words")
    with ExitStack() as stack:
        yield Lab(serve(folder / "manager", stack), folder)


def test_oscars_words_are_there_and_nothing_is_there_twice() -> None:
    own = {"get", "delete", "rotate-token"}
    assert own | {"list", "apply", "run", "job", "logs"} == service.commands.keys()
    assert {"list", "get", "create", "delete", "presign"} == bucket.commands.keys()
    same = {"list": "ls", "run": "invoke", "job": "submit", "logs": "logs", "apply": "apply"}
    assert all(service.commands[one] is app.commands[other] for one, other in same.items())


def test_a_service_is_shown_without_secrets_and_deleted(lab: Lab) -> None:
    secret = {"secrets": {"WORD": WORD}, "variables": {"PLAIN": "seen"}}
    name = lab.live.create(environment=secret)
    token = lab.live.token_of(name)
    assert name in lab.run("service", "list").out
    for more in ((), ("--json",)):
        said = lab.run("service", "get", name, *more).out
        assert f"{name}" in said and "seen" in said
        assert token not in said and lab.live.store.credentials.access_key not in said
    assert token in lab.run("service", "get", name, "--show-secrets").out
    new = lab.run("service", "rotate-token", name, "--show-secrets").out.strip()
    said = lab.run("service", "rotate-token", name)
    last = lab.live.token_of(name)
    assert len({token, new, last}) == 3 and last not in said.said and "new token" in said.err
    assert "OSCAR's own" in lab.run("service", "rotate-token", "absent").failed(1)
    (lab.folder / "in.txt").write_text("hello")
    assert "got hello" in lab.run("service", "run", name, "in.txt").out
    assert "no service 'absent'" in lab.run("service", "get", "absent").failed(1)
    assert "no service 'absent'" in lab.run("service", "delete", "absent", "-y").failed(1)
    assert lab.run("service", "delete", name).status != 0
    assert lab.live.ask("GET", f"/system/services/{name}").status == 200
    assert lab.run("service", "delete", name, "--yes").status == 0
    assert lab.live.ask("GET", f"/system/services/{name}").status == 404


def test_what_was_learned_of_a_service_is_shown(lab: Lab) -> None:
    name = lab.live.create()
    for _ in range(3):
        assert lab.live.ask("POST", f"/job/{name}", b"x").status == 201
    manager = lab.live.manager
    assert manager.dispatcher.wait_quiet(60)
    while manager.parts.jobs.lessons(1):
        manager.dispatcher.known.learn()
    said = lab.run("service", "get", name, "--estimates").out.splitlines()
    assert any("confidence" in line for line in said)
    (row,) = [line.split() for line in said if "local" in line]
    assert row[:2] == ["local", "3"]
    (run,) = lab.ok("service", "get", name, "--estimates")["runs"]
    assert run["samples"] == 3
    assert lab.run("service", "delete", name, "-y").status == 0


def test_buckets_from_their_creation_to_their_end(lab: Lab) -> None:
    created = ("bucket", "create", "words", "--visibility", "restricted", "--user", "ann")
    assert lab.run(*created).status == 0
    assert "already exists" in lab.run(*created).failed(1)
    (listed,) = [one for one in lab.ok("bucket", "list") if one["bucket_name"] == "words"]
    assert (listed["visibility"], listed["allowed_users"]) == ("restricted", ["ann"])
    assert "restricted" in lab.run("bucket", "list").out
    up = lab.run("bucket", "presign", "words", "a/b.txt", "--upload").out.strip()
    request = urllib.request.Request(up, b"content", method="PUT")
    assert urllib.request.urlopen(request).status == 200
    down = lab.ok("bucket", "presign", "words", "a/b.txt", "--expires", "60")
    assert urllib.request.urlopen(down["url"]).read() == b"content"
    shown = lab.run("bucket", "get", "words").out
    assert "a/b.txt" in shown and "ann" in shown
    assert lab.run("bucket", "delete", "words").status != 0
    assert lab.run("bucket", "delete", "words", "-y").status == 0
    assert "no bucket" in lab.run("bucket", "get", "words").failed(1)


def test_a_manager_is_named_by_its_url(lab: Lab) -> None:
    """Its credentials are the environment's, or those that oscar-cli has for that URL."""
    home = {**NO_AWS, "HOME": str(lab.folder), "OSCAR_ENDPOINT": ""}
    mine = {"OSCAR_USERNAME": USER, "OSCAR_PASSWORD": PASSWORD}
    asked = ("bucket", "list", "--manager", lab.live.url, "--json")
    assert inside(lab.folder, {**home, **mine}, *asked).status == 0
    other = {**home, **mine, "OSCAR_ENDPOINT": "http://127.0.0.1:9"}
    assert "no credentials" in inside(lab.folder, other, *asked).failed(1)
    none = {**home, "OSCAR_USERNAME": "", "OSCAR_PASSWORD": ""}
    assert "no OSCAR cluster is known" in inside(lab.folder, none, "bucket", "list").failed(2)
    profile = {"endpoint": lab.live.url, "auth_user": USER, "auth_password": PASSWORD}
    write_profile(lab.folder, {"one": profile, "two": {"endpoint": "http://127.0.0.1:9"}})
    try:
        assert inside(lab.folder, none, *asked).status == 0
        listed = inside(lab.folder, none, "ls", "--manager", f"{lab.live.url}/", "--json")
        assert listed.status == 0 and listed.json["services"] == []
        assert "several clusters" in inside(lab.folder, none, "bucket", "list").failed(2)
        both = (*asked, "--cluster", "one")
        assert "two clusters" in inside(lab.folder, none, *both).failed(2)
    finally:
        (lab.folder / ".oscar-cli" / "config.yaml").unlink()


AGENT = """#!/bin/sh
[ "$*" = "--time=60 -- lab" ] && echo a-token-of-the-agent && exit
echo "no account $3" >&2; exit 1
"""


def test_clusters_are_added_chosen_asked_and_forgotten(lab: Lab, tmp_path: Path) -> None:
    """In oscar-cli's words; a user who has nothing in the environment."""
    home = {**NO_AWS, "HOME": str(tmp_path), "OSCAR_ENDPOINT": "", "OSCAR_PASSWORD": ""}

    def asked(*words: str, stdin: str = "", **env: str) -> Done:
        done = inside(tmp_path, {**home, **env}, "cluster", *words, stdin=stdin)
        assert PASSWORD not in done.said
        return done

    assert "no OSCAR cluster is known" in asked("info").failed(2)
    for add, stdin in (
        (("one", lab.live.url, USER, PASSWORD), ""),
        (("two", f"{lab.live.url}/", USER, "--password-stdin"), f"{PASSWORD}\n"),
        (("wrong", lab.live.url, USER, "guess"), ""),
        (("agent", lab.live.url, "-o", "lab", "--disable-ssl"), ""),
        (("other", lab.live.url, "--oidc-account-name", "absent"), ""),
    ):
        assert asked("add", *add, stdin=stdin).status == 0, add
    for words in (
        ("x", "https://x"),
        ("x", "ftp://x", "u", "p"),
        ("x", "https://x", "u", "-t", "t"),
    ):
        asked("add", *words).failed(2)
    listed = {one["id"]: one for one in asked("list", "--json").json}
    assert list(listed) == ["one", "two", "wrong", "agent", "other"]
    assert (listed["two"]["endpoint"], listed["two"]["credentials"]) == (lab.live.url, "user oscar")
    assert (listed["agent"]["ssl_verify"], listed["one"]["default"]) == (False, True)
    assert "oidc-agent account lab" in asked("list").out
    assert asked("default").out == "one\n"
    assert "no cluster 'absent'" in asked("default", "--set", "absent").failed(1)
    assert asked("default", "--set", "two").status == 0
    assert asked("info", "--json").json["version"]
    assert asked("status", "-c", "one", "--json").json["oscar"]["ready"]
    assert "nodes_count: " in asked("status").out
    assert asked("info", "-c", "wrong").failed(1)
    # The agent is asked for a token, which this manager does not take.
    assert "oidc-agent is not installed" in asked("info", "-c", "agent").failed(3)
    (tmp_path / "oidc-token").write_text(AGENT)
    (tmp_path / "oidc-token").chmod(0o700)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert "asked with oidc-agent account lab" in asked("info", "-c", "agent", PATH=path).failed(1)
    assert "oidc-add absent" in asked("info", "-c", "other", PATH=path).failed(1)
    assert inside(tmp_path, home, "service", "list", "--json").json["services"] == []
    for word, name in (("remove", "two"), ("delete", "other")):
        assert asked(word, name).status == 0
    assert "several clusters" in asked("info").failed(2)
    assert "no default" in asked("default").err


def write_profile(home: Path, clusters: dict[str, dict[str, str]]) -> None:
    (home / ".oscar-cli").mkdir(exist_ok=True)
    (home / ".oscar-cli" / "config.yaml").write_text(json.dumps({"oscar": clusters}))
