"""Clusters by IM: our client and our template against IM's own server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from bridge.errors import TargetUnavailable, UsageError
from bridge.operate.infrastructure import Manager, filled, login_of, our_template
from tests.command import bridge
from tests.install.conftest import Im
from tests.waiting import eventually

# The first time on a machine, IM is installed.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_GIVEN: Mapping[str, str] = {
    "host": "oscar.example.org",
    "email": "me@example.org",
    "chart_url": "https://example.org/oscar-bridge-0.1.0.tgz",
    "image": "registry.example.org/oscar-bridge/manager",
    "runtime_image": "registry.example.org/oscar-bridge/runtime",
}
# A machine on which nothing is to be installed.
_MACHINE = """
tosca_definitions_version: tosca_simple_yaml_1_0
topology_template:
  node_templates:
    machine:
      type: tosca.nodes.Compute
"""
_SETS = [word for name, value in _GIVEN.items() for word in ("--set", f"{name}={value}")]


def test_a_cluster_is_made_watched_and_destroyed(im: Im) -> None:
    asking = ("--im", im.url, "--auth", im.auth)
    more = ("--set", "workers=2", "--template", im.template)
    made = bridge("cluster", "create", *asking, *_SETS, *more, "--json")
    assert made.status == 0, made.said
    name = made.json["id"]

    manager = Manager(im.url, login_of(im.auth.read_text()))
    # IM adds the machines one by one, after it has answered.
    eventually(lambda: len(manager.show(name).machines) == 3)
    found = bridge("cluster", "machines", name, *asking, "--json", "--show-secrets").json
    assert len(found["machines"]) == 3
    assert found["outputs"]["endpoint"] == "https://oscar.example.org"
    assert "public_address" not in found["outputs"]  # machines that are only remembered have none
    # IM has made up what nobody gave.
    assert len(found["outputs"]["oscar_password"]) == 24
    shown = bridge("cluster", "machines", *asking)
    assert name in shown.out
    assert found["outputs"]["oscar_password"] not in shown.said

    gone = bridge("cluster", "destroy", name, *asking, "--yes")
    assert gone.status == 0, gone.said
    eventually(lambda: name not in manager.ids())
    assert "404" in bridge("cluster", "machines", "no-such-id", *asking).failed(1)


def test_waiting_ends_with_the_work(im: Im, tmp_path: Path) -> None:
    asking = ("--im", im.url, "--auth", im.auth)
    template = tmp_path / "machine.yaml"
    template.write_text(_MACHINE)
    made = bridge("cluster", "create", *asking, "--template", template, "--wait", "--json")
    assert made.status == 0, made.said
    assert made.json["state"] == "configured"
    gone = bridge("cluster", "destroy", made.json["id"], "--yes", *asking)
    assert gone.status == 0, gone.said


def test_a_password_that_the_template_cannot_carry_is_not_repeated(im: Im) -> None:
    env = {"IM_URL": im.url, "IM_AUTH": im.auth.read_text()}
    refused = bridge("cluster", "create", *_SETS, "--set", "oscar_password=it's: a one", env=env)
    assert "oscar_password must match" in refused.failed(2)
    assert "it's" not in refused.said


def test_another_user_is_refused_without_a_word_of_the_password(im: Im, tmp_path: Path) -> None:
    auth = tmp_path / "auth"
    auth.write_text("type = InfrastructureManager; username = tester; password = guessed-it\n")
    refused = bridge("cluster", "machines", "--im", im.url, "--auth", auth)
    assert "401" in refused.failed(1)
    assert "guessed-it" not in refused.said


def test_im_that_does_not_answer_is_named() -> None:
    with pytest.raises(TargetUnavailable, match=r"127\.0\.0\.1:9"):
        Manager("http://127.0.0.1:9", login_of("type = InfrastructureManager; token = x")).ids()


def test_credentials_go_over_https_only() -> None:
    with pytest.raises(UsageError, match="https"):
        Manager("http://im.example.org", login_of("type = InfrastructureManager; token = x"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--set", "hots=x"], "did you mean host?"),
        (["--set", "host"], "NAME=VALUE"),
        (["--set", "host=x"], "email, chart_url, image, runtime_image"),
        (["--set", "host=@/no/such/file"], "/no/such/file"),
        (["--set", "workers=["], "workers must be of type integer"),
        (["--set", "workers=many"], "workers must be of type integer"),
    ],
)
def test_wrong_values_are_said_before_anything_is_asked(
    arguments: list[str], complaint: str
) -> None:
    env = {"IM_URL": "https://im.invalid", "IM_AUTH": "type = InfrastructureManager; token = x"}
    assert complaint in bridge("cluster", "create", *arguments, env=env).failed(2)


def test_what_is_no_text_and_no_url_is_said(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    login = tmp_path / "auth"
    login.write_text("type = InfrastructureManager; token = x\n")
    right = ("cluster", "create", "--im", "http://localhost:1", "--auth", str(login))
    for wrong in (
        (*right[:-1], str(binary)),
        (*right, "--template", str(binary)),
        (*right, "--set", f"host=@{binary}"),
        (*right, "--set", f"host=@{tmp_path}"),
        ("cluster", "machines", "--im", "http://[::1", "--auth", str(login)),
    ):
        assert bridge(*wrong).status == 2, wrong


def test_without_an_account_for_im_nothing_is_sent() -> None:
    refused = bridge("cluster", "machines", "--im", "https://im.invalid", env={"IM_AUTH": ""})
    assert "InfrastructureManager" in refused.failed(2)


def test_the_template_is_whole_and_the_folder_deploy_has_it() -> None:
    text = filled(our_template(), _GIVEN)
    inputs = yaml.safe_load(text)["topology_template"]["inputs"]
    assert {name: inputs[name]["default"] for name in _GIVEN} == dict(_GIVEN)
    assert Path("deploy/im/oscar-bridge.yaml").read_text() == our_template()
