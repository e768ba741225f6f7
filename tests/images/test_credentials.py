"""Credentials as `docker login` keeps them, and the tokens of Amazon ECR."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from bridge.errors import AccessError, MissingToolError, TemporaryError, UsageError
from bridge.images import Credentials, Ecr, Reference, docker_credentials
from bridge.images._auth import REFRESH
from bridge.images.ecr import is_ecr, region_of
from bridge.secret import Secret
from tests.servers import free_port

Configure = Callable[[object], None]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Writes Docker's configuration; a string goes into the file as it is."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))

    def write(config: object) -> None:
        text = config if isinstance(config, str) else json.dumps(config)
        (folder / "config.json").write_text(text)

    return write


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_nothing_is_known(configure: Configure) -> None:
    assert docker_credentials("r.example.org") is None
    configure({"auths": {"r.example.org": {}}})
    assert docker_credentials("r.example.org") is None


@pytest.mark.parametrize("key", ["r.example.org:5000", "https://r.example.org:5000"])
def test_a_login_in_the_file(configure: Configure, key: str) -> None:
    configure({"auths": {key: {"auth": coded("me:pass:word")}}})
    expected = Credentials("me", Secret("pass:word"))
    assert docker_credentials("r.example.org:5000") == expected
    assert docker_credentials("r.example.org") is None


def test_docker_hub_has_its_own_key(configure: Configure) -> None:
    configure({"auths": {"https://index.docker.io/v1/": {"auth": coded("me:secret")}}})
    assert docker_credentials("docker.io") == Credentials("me", Secret("secret"))


def test_an_identity_token(configure: Configure) -> None:
    configure({"auths": {"r.example.org": {"auth": coded("me:"), "identitytoken": "t"}}})
    assert docker_credentials("r.example.org") == Credentials(REFRESH, Secret("t"))


@pytest.mark.parametrize("text", ["{", "\0"])
def test_a_file_that_cannot_be_read(configure: Configure, text: str) -> None:
    configure(text)
    with pytest.raises(UsageError, match=r"config\.json"):
        docker_credentials("r.example.org")


@pytest.mark.parametrize("auth", ["?", coded("without-a-colon")])
def test_a_login_that_cannot_be_read(configure: Configure, auth: str) -> None:
    configure({"auths": {"r.example.org": {"auth": auth}}})
    with pytest.raises(UsageError, match=r"r\.example\.org") as refused:
        docker_credentials("r.example.org")
    assert auth not in str(refused.value)


HELPER = """#!/bin/sh
[ "$1" = get ] || exit 9
read -r key
case $key in
  r.example.org) echo '{"Username": "helped", "Secret": "s3cret"}' ;;
  broken.example.org) echo 'no JSON' ;;
  locked.example.org) echo 'the keyring is locked' >&2; exit 1 ;;
  *) echo 'credentials not found in native keychain'; exit 1 ;;
esac
"""


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "docker-credential-tests"
    program.parent.mkdir()
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.mark.usefixtures("helper")
def test_a_helper_is_asked(configure: Configure) -> None:
    for config in ({"credsStore": "tests"}, {"credHelpers": {"r.example.org": "tests"}}):
        configure(config)
        assert docker_credentials("r.example.org") == Credentials("helped", Secret("s3cret"))


@pytest.mark.usefixtures("helper")
def test_where_the_helper_knows_nothing_the_file_counts(configure: Configure) -> None:
    configure({"credsStore": "tests", "auths": {"o.example.org": {"auth": coded("me:secret")}}})
    assert docker_credentials("o.example.org") == Credentials("me", Secret("secret"))
    assert docker_credentials("p.example.org") is None


@pytest.mark.usefixtures("helper")
@pytest.mark.parametrize("host", ["broken.example.org", "locked.example.org"])
def test_a_helper_that_fails(configure: Configure, host: str) -> None:
    configure({"credsStore": "tests"})
    with pytest.raises(AccessError, match="docker-credential-tests"):
        docker_credentials(host)


def test_a_helper_that_is_absent(configure: Configure) -> None:
    configure({"credsStore": "nowhere"})
    with pytest.raises(MissingToolError, match="docker-credential-nowhere"):
        docker_credentials("r.example.org")


ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (ECR, "eu-west-1"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("123456789012.dkr-ecr.eu-west-1.on.aws", "eu-west-1"),
        ("public.ecr.aws", ""),
        (f"{ECR}.example.org", ""),
        ("ghcr.io", ""),
    ],
)
def test_hosts_of_ecr(host: str, region: str) -> None:
    assert (is_ecr(host), region_of(host)) == (bool(region), region)


@pytest.fixture
def aws() -> Iterator[Callable[[str], Any]]:
    """Clients of an ECR that runs here."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield lambda region: client(region, f"http://{host}:{port}")
    server.stop()


def client(region: str, endpoint: str) -> Any:
    return boto3.client(
        "ecr",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )


def test_ecr_gives_credentials(aws: Callable[[str], Any]) -> None:
    found = Ecr(aws).credentials(ECR)
    assert found.username == "AWS"
    assert found.password.reveal().endswith("-auth-token")


def test_a_repository_is_made_once_and_its_tags_cannot_move(aws: Callable[[str], Any]) -> None:
    image = Reference.parse(f"{ECR}/mine/services:1")
    assert Ecr(aws).ensure_repository(image)
    assert not Ecr(aws).ensure_repository(image)
    made = aws("eu-west-1").describe_repositories(repositoryNames=["mine/services"])
    assert made["repositories"][0]["imageTagMutability"] == "IMMUTABLE"


def test_an_aws_that_cannot_be_reached() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(TemporaryError, match="GetAuthorizationToken"):
        Ecr(lambda region: client(region, nobody)).credentials(ECR)
