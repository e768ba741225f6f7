"""A manager on this machine, with a real object store, reached over HTTP."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bridge.dispatch.tracing import Tracing
from bridge.fdl.model import ProviderRef, TargetSpec
from bridge.local._webhook import Server
from bridge.local.executors import choose
from bridge.local.objectstore import ObjectStore, Webhook
from bridge.local.target import LocalTarget
from bridge.secret import Secret
from bridge.storage.minio import MinioServer
from bridge.targets import Target
from bridge.targets.aws import Account, PulledBuckets
from bridge.targets.kubernetes import HeldVolume
from bridge.targets.kubernetes.connection import AlreadyThere
from bridge.targets.render import ProviderAccess
from manager.abroad import Abroad
from manager.app import create_app
from manager.aws import AwsSide
from manager.core import Manager, Parts
from manager.minio_accounts import MinioAccounts
from manager.oidc import OidcSettings
from manager.settings import Settings
from manager.stores import open_stores
from manager.throttle import Limits

from .issuer import Provider

USER, PASSWORD = "oscar", "pass-word"


def basic(user: str = USER, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Live:
    """A manager that answers on `port`, with everything behind it."""

    port: int
    manager: Manager
    store: ObjectStore
    token: str
    names: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        """One request; as the administrator unless `headers` are given."""
        data = json.dumps(body).encode() if isinstance(body, dict | list) else body
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            sent = dict(basic() if headers is None else headers)
            connection.request(method, path, data, sent, **more)
            answer = connection.getresponse()
            lower = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, lower, answer.read())
        finally:
            connection.close()

    def create(self, **service: Any) -> str:
        """Make a service of a fresh name; the name."""
        name = service.setdefault("name", f"s{secrets.token_hex(4)}")
        answer = self.ask("POST", "/system/services", echo(**service))
        assert answer.status == 201, answer
        return str(name)

    def token_of(self, name: str) -> str:
        return str(self.ask("GET", f"/system/services/{name}").json["token"])


def echo(**service: Any) -> dict[str, Any]:
    """A service that says what it was given."""
    script = '#!/bin/sh\necho "got $(cat "$INPUT_FILE_PATH")"\n'
    return {"name": "echo", "image": "busybox", "script": script, "memory": "64Mi"} | service


def minio(path: str) -> list[dict[str, str]]:
    """A list of one path, as services name it."""
    return [{"storage_provider": "minio", "path": path}]


def serve(
    folder: Path,
    stack: ExitStack,
    *,
    port: int = 0,
    objects: int = 0,
    token: str = "",
    account: Account | None = None,
    aws: Account | None = None,
    volumes: Any = None,
    tracing: Tracing | None = None,
    price: str = "0",
    database: str = "",
    buckets: MinioServer | None = None,
    **settings: Any,
) -> Live:
    """A manager whose state is in the folder, or in the database; all of it ends with the stack.

    With an account, events of its S3 are pulled; with `aws` it has Lambda and Batch there.
    `volumes` is what its target holds, `objects` the port of its object store. `buckets` take the
    place of an object store that sends events.
    """
    token = token or secrets.token_urlsafe(16)
    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    port = int(listener.getsockname()[1])
    store = ObjectStore(
        folder / "objects",
        Webhook(f"http://127.0.0.1:{port}/events", Secret(token)),
        port=objects,
    )
    access: dict[ProviderRef, ProviderAccess] = {}
    session = secrets.token_hex(6)
    executor = choose("process", session, folder=folder / "tasks")
    stack.callback(executor.close)
    spec = TargetSpec("local", "local", slots=4, cost_per_hour=Decimal(price))
    target = LocalTarget(
        spec, executor, session=session, folder=folder / session, access=access, exposes=True
    )
    stack.callback(target.close)
    if volumes is not None:
        vars(target)["volumes"] = volumes
    cloud = None
    if account:
        cloud = PulledBuckets(lambda: account, lambda b, h: manager.ingest("", b, h), wait=1)
        stack.callback(cloud.close)
    targets: dict[str, Target] = {"local": target}
    more: dict[str, Any] = {}
    if aws:
        abroad = Abroad(access)
        side = AwsSide(aws, [TargetSpec("lambda", "lambda"), TargetSpec("batch", "batch")], abroad)
        targets |= side.targets
        more = {"abroad": abroad, "images": side.image, "mark": aws.settings.endpoint}
    where = {"BRIDGE_STATE": str(folder), "BRIDGE_DATABASE_URL": database}
    if database:
        where["BRIDGE_STATE_KEY"] = "the key of all managers on a database"
    state, jobs = open_stores(where, stack)
    parts = Parts(
        state=state,
        jobs=jobs,
        buckets=buckets or store,
        targets=targets,
        access=access,
        cloud=cloud,
        cloud_endpoint=account.s3_endpoint if account else None,
        accounts=MinioAccounts(lambda: (buckets or store).settings),
        tracing=tracing,
        **more,
    )
    # Many tests try what is wrong, from one address.
    settings.setdefault("limits", Limits(10**6, 10**6))
    made = Settings(user=USER, password=Secret(PASSWORD), webhook_token=Secret(token), **settings)
    manager = Manager(made, parts)
    server = Server(create_app(manager), listener)
    server.start()
    stack.callback(server.close)
    stack.callback(manager.close)
    if buckets is None:
        stack.enter_context(store)
    manager.start()
    return Live(port, manager, store, token)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as made:
        yield made


def trusting(provider: Provider) -> OidcSettings:
    """Takes the provider's users who are of the lab."""
    return OidcSettings((provider.url,), ("lab",), "oscar")


class Held:
    """Volumes in memory, as a cluster holds them."""

    def __init__(self) -> None:
        self.found: dict[str, HeldVolume] = {}

    def all(self) -> list[HeldVolume]:
        return list(self.found.values())

    def find(self, name: str) -> HeldVolume | None:
        return self.found.get(name)

    def create(self, name: str, size: int, owner: str) -> HeldVolume:
        if name in self.found:
            raise AlreadyThere(name)
        self.found[name] = HeldVolume(name, f"{size >> 20}Mi", owner, "", "pending")
        return self.found[name]

    def give(self, name: str, owner: str) -> None:
        raise AssertionError(f"{name} is {owner}'s already")

    def delete(self, name: str) -> None:
        del self.found[name]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Live]:
    """A manager with users, who may have volumes."""
    held: Any = Held()
    with ExitStack() as stack:
        yield serve(tmp_path_factory.mktemp("users"), stack, volumes=held, oidc=trusting(provider))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with ExitStack() as stack:
        yield serve(tmp_path_factory.mktemp("manager"), stack, page=3)


def side_by_side(work: list[Any]) -> None:
    """Run all at once."""
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
