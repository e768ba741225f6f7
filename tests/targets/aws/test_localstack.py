"""Where an account is found: never at LocalStack unless somebody said so."""

from __future__ import annotations

import sys

import pytest

from bridge.errors import MissingToolError, UsageError
from bridge.targets.aws import Account, AccountSettings

NAMES = ("AWS_ENDPOINT_URL", "OSCAR_BRIDGE_LOCALSTACK", "LOCALSTACK_HOST", "USE_SSL")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def url(settings: AccountSettings | None = None) -> str:
    account = Account(settings or AccountSettings(region="eu-west-1"))
    return str(account.client("sqs").meta.endpoint_url)


@pytest.mark.parametrize("said", ["", "0", "false", "no"])
def test_a_host_of_localstack_alone_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv("LOCALSTACK_HOST", "localhost:4566")
    monkeypatch.setenv("OSCAR_BRIDGE_LOCALSTACK", said)
    assert url() == "https://sqs.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "http://localhost:4566"),
        ({"LOCALSTACK_HOST": "stack.test:5000"}, "http://stack.test:5000"),
        ({"LOCALSTACK_HOST": "stack.test:5000", "USE_SSL": "1"}, "https://stack.test:5000"),
        ({"AWS_ENDPOINT_URL": "http://other.test:1"}, "http://other.test:1"),
    ],
)
def test_localstack_is_found_as_its_client_finds_it(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], expected: str
) -> None:
    monkeypatch.setenv("OSCAR_BRIDGE_LOCALSTACK", "1")
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    assert url() == expected


def test_real_keys_do_not_go_to_localstack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSCAR_BRIDGE_LOCALSTACK", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    account = Account(AccountSettings())
    assert account.client("sqs")._request_signer._credentials.access_key == "test"


def test_what_is_given_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSCAR_BRIDGE_LOCALSTACK", "1")
    assert url(AccountSettings(endpoint="http://given.test:9")) == "http://given.test:9"


def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSCAR_BRIDGE_LOCALSTACK", "localhost")
    with pytest.raises(UsageError, match="say 1 or 0"):
        Account(AccountSettings())


def test_without_its_client_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSCAR_BRIDGE_LOCALSTACK", "1")
    monkeypatch.setitem(sys.modules, "localstack_client.config", None)
    with pytest.raises(MissingToolError, match="localstack-client"):
        Account(AccountSettings())
