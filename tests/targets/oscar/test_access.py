"""Where a cluster is and with which credentials: the file, the environment, oscar-cli's file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from bridge.errors import AccessError, NotFoundError, PermanentError, UsageError
from bridge.fdl import parse
from bridge.fdl.model import Cluster
from bridge.secret import Secret
from bridge.targets.oscar import access_in, access_to, known_clusters
from bridge.targets.oscar.profiles import Profiles
from tests.command import write

OWN = {"OSCAR_ENDPOINT": "https://env.example/", "OSCAR_USERNAME": "u", "OSCAR_PASSWORD": "p"}
CLI = """
oscar:
  lab: {endpoint: https://cli.example/x, auth_user: c, auth_password: d, ssl_verify: false}
  far: {endpoint: https://far.example, oidc_refresh_token: r}
default: lab
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return write(tmp_path, {".oscar-cli/config.yaml": CLI})


def test_the_file_comes_first_and_the_environment_completes_it(home: Path) -> None:
    full = Cluster("lab", "https://file.example", "f", Secret("g"))
    found = access_to("lab", full, environ=OWN, home=home)
    assert (found.endpoint, found.user, found.source) == (
        "https://file.example",
        "f",
        "the FDL file",
    )
    bare = Cluster("lab", "https://file.example")
    keys = {"OSCAR_USERNAME": "u", "OSCAR_PASSWORD": "p"}
    found = access_to("lab", bare, environ=keys, home=home)
    assert (found.endpoint, found.user, found.source) == (
        "https://file.example",
        "u",
        "the environment",
    )
    found = access_to("lab", None, environ=OWN, home=home)
    assert (found.endpoint, found.method) == ("https://env.example", "user u")


def test_credentials_of_one_place_never_go_to_another(home: Path) -> None:
    """A file from somebody else must not get what the environment has for its own endpoint."""
    strange = Cluster("lab", "https://strange.example")
    with pytest.raises(AccessError, match="no credentials for cluster lab") as found:
        access_to("lab", strange, environ=OWN, home=home)
    assert "OSCAR_TOKEN" in found.value.hint


def test_what_the_file_of_oscar_cli_has_else_is_kept(tmp_path: Path) -> None:
    path = tmp_path / ".oscar-cli" / "config.yaml"
    Profiles(tmp_path).add("one", "https://one.example", user="u", password=Secret("p"))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    # As oscar-cli writes it, so that it reads it.
    assert yaml.safe_load(path.read_text()) == {
        "default": "one",
        "oscar": {
            "one": {
                "memory": "256Mi",
                "log_level": "INFO",
                "endpoint": "https://one.example",
                "auth_user": "u",
                "auth_password": "p",
                "oidc_account_name": "",
                "oidc_refresh_token": "",
                "ssl_verify": True,
            }
        },
    }
    elsewhere = write(tmp_path, {"dotfiles/config": CLI + "theirs: {a: [1]}\n"}) / "dotfiles/config"
    path.unlink()
    path.symlink_to(elsewhere)
    profiles = Profiles(tmp_path)
    before = yaml.safe_load(elsewhere.read_text())
    profiles.add("lab", "https://new.example", refresh_token=Secret("r"), ssl_verify=False)
    profiles.set_default("far")
    profiles.remove("far")
    left = yaml.safe_load(elsewhere.read_text())
    assert path.is_symlink() and stat.S_IMODE(elsewhere.stat().st_mode) == 0o600
    assert left["theirs"] == before["theirs"] and list(left["oscar"]) == ["lab"]
    found = left["oscar"]["lab"]
    assert (found["endpoint"], found["auth_user"], found["oidc_refresh_token"]) == (
        "https://new.example",
        "",
        "r",
    )
    assert (left["default"], Profiles(tmp_path).default) == ("", "")
    for name in ("far", "default-cluster"):
        with pytest.raises((NotFoundError, UsageError)):
            profiles.remove(name)
    with pytest.raises(UsageError):
        profiles.add("default-cluster", "https://x.example")
    elsewhere.write_text("oscar: [")
    with pytest.raises(PermanentError):
        Profiles(tmp_path).add("x", "https://x.example")
    assert elsewhere.read_text() == "oscar: ["


def test_the_file_of_oscar_cli_is_the_last_to_be_asked(home: Path) -> None:
    found = access_to("lab", environ={}, home=home)
    assert (found.endpoint, found.user, found.ssl_verify) == ("https://cli.example/x", "c", False)
    assert found.id == "lab" and str(home) in found.source
    assert access_to("default-cluster", environ={}, home=home).endpoint == "https://cli.example/x"
    assert access_to("far", environ={}, home=home).method == "OIDC refresh token"
    with pytest.raises(UsageError, match="cluster other has no endpoint"):
        access_to("other", environ={}, home=home)


def test_which_clusters_are_known_without_a_file(home: Path, tmp_path: Path) -> None:
    assert [one.id for one in known_clusters(environ={}, home=home)] == ["lab", "far"]
    (own,) = known_clusters(environ=OWN, home=home)
    assert own.endpoint == "https://env.example"
    assert known_clusters(environ={}, home=tmp_path / "empty") == ()


def test_a_target_of_the_file_may_say_where_a_cluster_is() -> None:
    document = parse(
        "targets: {lab: {kind: oscar, settings: {endpoint: 'https://t.example',"
        " auth_user: a, auth_password: b}}}\n"
        "functions: {bridge: [{name: s, image: i, script: s.sh}]}\n"
    )
    found = access_in(document, "lab")
    assert (found.endpoint, found.user, found.password) == ("https://t.example", "a", Secret("b"))


@pytest.mark.parametrize("endpoint", ["lab.example", "ftp://lab", "https://me:word@lab.example"])
def test_an_endpoint_that_is_none_is_refused_and_not_quoted(endpoint: str) -> None:
    with pytest.raises(UsageError) as found:
        access_to("lab", Cluster("lab", endpoint), environ={}, home=Path("/nowhere"))
    assert "word" not in found.value.message


def test_a_file_that_is_no_yaml_is_said_without_its_text(tmp_path: Path) -> None:
    write(tmp_path, {".oscar-cli/config.yaml": "oscar: {a: {auth_password: 'secret-word}"})
    with pytest.raises(PermanentError, match="cannot be read") as found:
        known_clusters(environ={}, home=tmp_path)
    assert "secret-word" not in found.value.message
