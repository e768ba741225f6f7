"""The webhook of a MinIO server that is configured by the manager; the admin API is a stand-in."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from minio.error import MinioAdminException

from bridge.errors import StorageUnavailable
from bridge.secret import Secret
from manager import cluster
from manager.webhook import ensure_webhook

ARN = "arn:minio:sqs::INGEST:webhook"


class Server:
    """Says what it knows; `learns` is when it takes a new webhook."""

    def __init__(self, learns: str, known: list[str] | None = None) -> None:
        self.learns = learns
        self.known = known or []
        self.told: list[str] = []

    def info(self) -> str:
        return json.dumps({"sqsARN": self.known} if self.known else {})

    def config_set(self, key: str, config: dict[str, str]) -> str:
        self.told.append(f"{key} {config['endpoint']} {config['auth_token']}")
        self.known = [ARN] if self.learns == "at once" else []
        return ""

    def service_restart(self) -> str:
        self.told.append("restart")
        self.known = [ARN] if self.learns == "at a restart" else []
        return ""


SET = "notify_webhook:INGEST http://me/events word"


@pytest.mark.parametrize(
    ("server", "told"),
    [
        (Server("never", known=["arn:minio:sqs:us-east-1:INGEST:webhook"]), []),
        (Server("at once"), [SET]),
        (Server("at a restart"), [SET, "restart"]),
    ],
)
def test_it_is_set_once_and_the_server_restarted_only_if_it_must(
    server: Server, told: list[str]
) -> None:
    for first in (True, False):
        new = ensure_webhook(server, "INGEST", "http://me/events", Secret("word"))
        assert new is (first and bool(told))
    assert server.told == told


def test_another_token_is_told_and_the_server_restarted_to_take_it() -> None:
    server = Server("at a restart", known=[ARN])
    assert ensure_webhook(server, "INGEST", "http://me/events", Secret("word"), changed=True)
    assert server.told == [SET, "restart"]


def test_the_manager_remembers_what_it_has_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, bool]] = []

    def ensure(_: object, name: str, url: str, token: Secret, *, changed: bool) -> bool:
        told.append((token.reveal(), changed))
        return changed

    monkeypatch.setattr(cluster, "ensure_webhook", ensure)

    def announce(state: str, token: str) -> None:
        environment = {
            "BRIDGE_STATE": str(tmp_path / state),
            "OSCAR_USERNAME": "u",
            "OSCAR_PASSWORD": "p",
            "MINIO_ACCESS_KEY": "k",
            "MINIO_SECRET_KEY": "s",
            "BRIDGE_WEBHOOK_TOKEN": token,
        }
        with ExitStack() as stack:
            cluster.InCluster(environment, stack)._announce("http://me/events")

    # One that was given may be what the object store has from the same hand; one of ours is not.
    for token in ("first", "first", "second", "second", ""):
        announce("given", token)
    announce("made", "")
    announce("made", "")
    assert [changed for _, changed in told] == [False, False, True, False, True, True, False]
    assert "first" not in (tmp_path / "given" / "manager.sqlite").read_bytes().decode("latin1")


def test_a_server_that_does_not_let_us_says_no_secret() -> None:
    class Closed(Server):
        def config_set(self, key: str, config: dict[str, str]) -> str:
            raise MinioAdminException(403, f"denied {config['auth_token']}")

    with pytest.raises(StorageUnavailable) as error:
        ensure_webhook(Closed("never"), "INGEST", "http://me/events", Secret("word"))
    assert "word" not in str(error.value)
