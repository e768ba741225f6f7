"""A manager, an object store and an AWS endpoint that stand here until somebody says stop.

    with Standing(engine="process", port=4566) as standing:
        print(standing.variables())
        standing.wait()

The same servers as those of a `Session`, without a document: what is in them comes by their APIs.
Services that come by OSCAR's run on this machine, or on a real cluster.
"""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bridge.errors import PermanentError, UsageError
from bridge.fdl.model import TargetSpec
from bridge.local._clusters import Clusters, real_clusters
from bridge.local._signals import held_back, undisturbed
from bridge.local._together import Together
from bridge.local.aws import AwsEndpoint
from bridge.local.children import SessionFolder
from bridge.local.executors import gateway, resolve
from bridge.local.executors.guard import Guard
from bridge.local.managed import CLUSTER, Managed, Place
from bridge.local.objectstore import ObjectStore

__all__ = ["Standing", "StandingSettings"]

_LOOPBACK: Final = "127.0.0.1"
_POLL: Final = 0.5


@dataclass(frozen=True, slots=True)
class StandingSettings:
    """`engine` is auto, container or process. `port` is the AWS endpoint's, the object store's is
    the next one, the manager's the one after it; 0 for any free ones. `keep` is a folder in which
    objects of the store, the services and jobs of the manager, keys and logs stay; None: nothing
    stays. What is in the AWS endpoint never stays. With `cluster`, services of the manager run on
    the cluster of KUBECONFIG, in a namespace that does not stay either.
    """

    engine: str = "auto"
    port: int = 0
    keep: Path | None = None
    cluster: bool = False


class Standing:
    """The servers, from the beginning of the `with` block to its end.

    Errors then: UsageError, MissingToolError, PermanentError (a port that is taken), with a cluster
    AccessError and TargetUnavailable. Everything is stopped and removed at the end of the block,
    also when this process is killed.
    """

    def __init__(self, settings: StandingSettings | None = None) -> None:
        self._settings = settings or StandingSettings()
        self.engine = _resolved(self._settings)
        self._name = secrets.token_hex(6)
        spec = TargetSpec(CLUSTER, "knative")
        found = real_clusters([spec], everything=True) if self._settings.cluster else {}
        self._clusters = Clusters(found, self._name)
        self._stack = ExitStack()
        self._together = Together()
        self._aws: AwsEndpoint | None = None
        self._managed: Managed | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def variables(self) -> dict[str, str]:
        """What programs need to use the servers; holds secret keys."""
        assert self._aws is not None and self._managed is not None
        store = self._managed.store
        keys = store.credentials
        return {
            **self._aws.environment(),
            # Image names stay as they are: the runtime is brought along.
            "OSCAR_BRIDGE_IMAGES": "as-is",
            "MINIO_ENDPOINT": store.endpoint,
            "MINIO_ACCESS_KEY": keys.access_key,
            "MINIO_SECRET_KEY": keys.secret_key.reveal(),
            **self._managed.variables(),
        }

    def wait(self) -> None:
        """Return never, unless a server ends by itself: PermanentError with the end of its log."""
        pause = threading.Event()
        while not pause.wait(_POLL):
            self._check()

    def _check(self) -> None:
        assert self._aws is not None and self._managed is not None
        if not self._aws.alive:
            raise PermanentError(f"the AWS endpoint has ended; its log is {self._aws.log}")
        if not self._managed.store.alive:
            raise PermanentError("the object store has ended")

    def _start(self) -> None:
        contained = self.engine == "container"
        self._stack.callback(self._together.close)
        folder = self._folder(contained=contained)
        kept = _kept(self._settings.keep) or folder
        address = gateway() if contained else _LOOPBACK
        port = self._settings.port
        runtime = _runtime() if contained else None
        self._clusters.look([CLUSTER], folder)
        self._clusters.start(self._stack)
        self._aws = AwsEndpoint(
            folder / "aws",
            engine=self.engine,
            session=self._name,
            address=address,
            port=port,
            runtime=runtime,
            log=kept / "aws.log",
        )
        place = Place(
            self.engine,
            self._name,
            address,
            port and port + 2,
            folder / "manager",
            kept,
            self._clusters,
            runtime,
        )
        self._managed = Managed(place, self._endpoint, self._stack)
        self._managed.listen()
        servers: list[ObjectStore | AwsEndpoint] = [self._managed.store, self._aws]
        work = [partial(self._enter, server) for server in servers]
        self._together.run(work, len(work))
        self._managed.start()

    def _endpoint(self) -> AwsEndpoint:
        assert self._aws is not None
        return self._aws

    def _enter(self, server: ObjectStore | AwsEndpoint) -> None:
        self._stack.enter_context(server)

    def _folder(self, *, contained: bool) -> Path:
        with held_back():
            folder = SessionFolder()
            namespaces = self._clusters.namespaces()
            guard = Guard(self._name, folder.path, containers=contained, namespaces=namespaces)
            self._stack.callback(guard.close)
            return self._stack.enter_context(folder).path

    def _stop(self) -> None:
        try:
            with undisturbed():
                self._stack.close()
        finally:
            self._stack.close()


def _resolved(settings: StandingSettings) -> str:
    """The engine; pods cannot reach what listens on loopback, as it does for processes."""
    if not settings.cluster:
        return resolve(settings.engine)
    if settings.engine == "process":
        raise UsageError(
            "jobs on a cluster and plain processes do not go together",
            hint="leave --engine out, or take --engine container",
        )
    return resolve("container")


def _kept(folder: Path | None) -> Path | None:
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--keep {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--keep {folder} cannot be written to")
    return folder.absolute()


def _runtime() -> Path:
    from bridge.runtime import cached  # noqa: PLC0415  only containers need it

    return cached()
