"""The manager on this machine: OSCAR's REST API over a target here, or over a real cluster; beside
it Lambda and Batch of the AWS endpoint."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bridge.dispatch import SqliteStore
from bridge.dispatch.tracing import tracing_of
from bridge.errors import PermanentError
from bridge.fdl.model import ProviderRef, TargetKind, TargetSpec
from bridge.local._cloud import account_settings, s3_access
from bridge.local._clusters import Clusters
from bridge.local._here import START
from bridge.local._webhook import BACKLOG, Server
from bridge.local.aws import AwsEndpoint
from bridge.local.executors import choose
from bridge.local.objectstore import ObjectStore, Webhook
from bridge.local.target import LocalTarget
from bridge.scheduler import Snapshot, TargetState, Trial
from bridge.secret import Secret
from bridge.targets import Target
from bridge.targets.aws import Account, PulledBuckets
from bridge.targets.render import ProviderAccess
from manager.abroad import Abroad
from manager.app import create_app
from manager.aws import AwsSide
from manager.cloud import S3
from manager.core import Manager, Parts
from manager.minio_accounts import MinioAccounts
from manager.settings import Settings
from manager.store import ServiceStore

__all__ = ["CLUSTER", "LOCAL", "Managed", "Place"]

LOCAL: Final = "local"
CLUSTER: Final = "cluster"
_WAIT: Final = 1
_USER: Final = "oscar"
# What the manager has on the AWS endpoint; a deployment there has another name.
_ACCOUNT: Final = "oscar-bridge-manager"
_AWS: Final[tuple[TargetKind, ...]] = ("lambda", "batch")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a manager stands. `folder` goes with the session, `kept` may stay; `port` 0 is any.

    `clusters` holds the real cluster that services run on, under the name CLUSTER, or nothing.
    """

    engine: str
    session: str
    address: str
    port: int
    folder: Path
    kept: Path
    clusters: Clusters
    runtime: Path | None = None


class Managed:
    """A manager and the servers that it needs.

    First `listen`, so that the object store finds its webhook; then the object store and the AWS
    endpoint are started by the caller; then `start`. What is started is handed to `stack`.
    """

    _here: LocalTarget  # unless a cluster takes its place

    def __init__(self, place: Place, endpoint: Callable[[], AwsEndpoint], stack: ExitStack) -> None:
        self._place = place
        self._endpoint = endpoint
        self._stack = stack
        place.kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._listener = _listener(place)
        self._port = int(self._listener.getsockname()[1])
        token = Secret(secrets.token_urlsafe(32))
        self.password = _password(place.kept)
        self.store = ObjectStore(
            place.kept / "objects",
            Webhook(f"{self.url}/events", token),
            address=place.address,
            port=place.port and place.port - 1,
        )
        self._access: dict[ProviderRef, ProviderAccess] = {}
        self._tokens: dict[str, Secret] = {}
        settings = Settings(
            user=_USER,
            password=self.password,
            webhook_token=token,
            trial=Trial.of(os.environ),
        )
        self._manager = Manager(settings, self._parts())

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://{self._place.address}:{self._port}"

    def variables(self) -> dict[str, str]:
        """What OSCAR's clients need to use it; holds the password."""
        password = self.password.reveal()
        return {
            "OSCAR_ENDPOINT": self.url,
            "OSCAR_USERNAME": _USER,
            "OSCAR_PASSWORD": password,
        }

    def listen(self) -> None:
        """Answer requests; events are accepted from now on."""
        server = Server(create_app(self._manager), self._listener)
        self._stack.callback(server.close)
        server.start()

    def start(self) -> None:
        """Make the services that were kept runnable, and begin to work."""
        self._access[S3] = s3_access(self._endpoint())
        self._stack.callback(self._manager.close)
        self._manager.start()

    def _parts(self) -> Parts:
        place, stack = self._place, self._stack
        account = Account(lambda: account_settings(self._endpoint(), _ACCOUNT, f"{_ACCOUNT}-"))
        abroad = Abroad(self._access)
        aws = AwsSide(account, [TargetSpec(kind, kind) for kind in _AWS], abroad)
        cloud = PulledBuckets(
            lambda: account,
            lambda body, headers: self._manager.ingest("", body, headers),
            wait=_WAIT,
        )
        stack.callback(cloud.close)
        return Parts(
            state=stack.enter_context(ServiceStore(place.kept / "manager.sqlite")),
            jobs=stack.enter_context(SqliteStore(place.kept / "jobs.sqlite")),
            buckets=self.store,
            targets=self._targets(aws.targets),
            access=self._access,
            cloud=cloud,
            measure=self._measured,
            nodes=place.clusters.nodes,
            tokens=self._tokens,
            accounts=MinioAccounts(lambda: self.store.settings),
            tracing=tracing_of(os.environ),
            abroad=abroad,
            images=aws.image,
            # What was on the endpoint ended with it.
            mark=place.session,
        )

    def _targets(self, aws: Mapping[str, Target]) -> dict[str, Target]:
        made = {CLUSTER: self._clusters()} if self._place.clusters else {LOCAL: self._local()}
        made |= aws
        for target in made.values():
            self._stack.callback(target.close)
        return made

    def _clusters(self) -> Target:
        return self._place.clusters.target(CLUSTER, self._access, tokens=self._tokens)

    def _local(self) -> Target:
        place = self._place
        executor = choose(
            place.engine, place.session, folder=place.folder / "tasks", runtime=place.runtime
        )
        self._stack.callback(executor.close)
        self._here = LocalTarget(
            TargetSpec(LOCAL, "local", slots=os.cpu_count() or 1),
            executor,
            session=place.session,
            folder=place.folder / "target",
            access=self._access,
            exposes=True,
        )
        return self._here

    def _measured(self, loads: Mapping[str, tuple[int, int]]) -> Snapshot:
        return Snapshot(tuple(self._state(spec, *loads[spec.name]) for spec in self._manager.specs))

    def _state(self, spec: TargetSpec, running: int, queued: int) -> TargetState:
        known = TargetState(spec, running=running, queued=queued)
        if spec.name == CLUSTER:
            return self._place.clusters.state(known, self._manager.served)
        engine = self._place.engine
        return replace(
            known,
            start=START[engine],
            isolated=engine == "container",
            image=self._here.images(),
        )


def _listener(place: Place) -> socket.socket:
    try:
        return socket.create_server((place.address, place.port), backlog=BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        where = f"{place.address} port {place.port}"
        raise PermanentError(f"cannot listen on {where}: {reason}") from error


def _password(folder: Path) -> Secret:
    """The one that was kept, else a new one, kept for its owner only."""
    path = folder / "password"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24))
    return Secret(path.read_text().strip())
