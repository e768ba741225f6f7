"""How a manager lets an object store send its events: by MinIO's webhook, whose admin API is a
stand-in here, and by topics, moto's in place of Ceph's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from minio.error import MinioAdminException
from moto.server import ThreadedMotoServer

from bridge.errors import StorageUnavailable
from bridge.secret import Secret
from bridge.storage.minio import MinioServer, Rule, ServerSettings, SilentError
from manager import cluster
from manager.topics import ensure_topic, pushed_to
from manager.webhook import ensure_webhook

from .conftest import Live, minio

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


@pytest.fixture
def with_topics() -> Iterator[ServerSettings]:
    """A server with the APIs of S3 and of SNS at one address, as Ceph's gateway has them."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield ServerSettings(f"http://{host}:{port}", Secret("a-key"), Secret("a-secret"), webhook="X")
    server.stop()


def test_a_store_without_webhooks_gets_a_topic_and_rules_for_it(
    with_topics: ServerSettings, tmp_path: Path
) -> None:
    environment = {
        "BRIDGE_STATE": str(tmp_path),
        "OSCAR_USERNAME": "u",
        "OSCAR_PASSWORD": "p",
        "MINIO_ENDPOINT": with_topics.endpoint,
        "MINIO_ACCESS_KEY": "a-key",
        "MINIO_SECRET_KEY": "a-secret",
        "BRIDGE_WEBHOOK_TOKEN": "wo rd",
    }
    rules = (Rule("taken", "in/"), Rule("taken", "other/", ".txt"))
    topics: set[str] = set()
    for _ in range(2):
        with ExitStack() as stack:
            made = cluster.InCluster(environment, stack)
            store = made.manager.parts.buckets
            assert isinstance(store, MinioServer)
            store.ensure_bucket("taken")
            with pytest.raises(SilentError, match="no events of bucket 'taken'"):
                store.ensure_rules(rules)
            made._announce("http://me/events")
            store.ensure_rules(rules)
            assert store.rules("taken") == rules
            topics.add(store.settings.topic)
    (arn,) = topics
    sns = boto3.client(
        "sns",
        endpoint_url=with_topics.endpoint,
        region_name="us-east-1",
        aws_access_key_id="a-key",
        aws_secret_access_key="a-secret",
    )
    assert [one["TopicArn"] for one in sns.list_topics()["Topics"]] == [arn]
    store.remove_rules("taken")
    assert store.rules("taken") == ()
    with pytest.raises(StorageUnavailable, match="no topics for us") as error:
        ensure_topic(replace(with_topics, endpoint="http://127.0.0.1:9"), "n", "u", Secret("word"))
    assert "word" not in f"{error.value}"


def test_an_event_of_ceph_is_taken_with_the_token_in_its_address(live: Live) -> None:
    name = live.create(input=minio("ceph/in"))
    item = {"key": "in/a+b %41.txt", "size": 2, "eTag": "e", "versionId": "", "sequencer": "F7E6"}
    record = {
        "eventVersion": "2.2",
        "eventSource": "ceph:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "ceph"}, "object": {**item, "metadata": [], "tags": []}},
        "eventId": "",
        "opaqueData": "",
    }
    for token, status in (("wrong", 401), ("", 401), (live.token, 200), (live.token, 200)):
        where = urlsplit(pushed_to("http://here/events", Secret(token)))
        answer = live.ask("POST", f"{where.path}?{where.query}", {"Records": [record]}, {})
        assert answer.status == status
    (job,) = live.manager.parts.jobs.jobs(service=name)
    assert (job.event.provider, job.event.key) == ("minio.default", "in/a+b %41.txt")
