"""The servers of a session, and what stands on this machine for the targets of a document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

from bridge.errors import UsageError
from bridge.fdl.model import Document, ProviderRef, TargetSpec
from bridge.local._cloud import account_of, s3_access
from bridge.local._clusters import Clusters
from bridge.local._signals import held_back
from bridge.local._together import Together
from bridge.local.aws import AwsEndpoint
from bridge.local.executors import Executor, choose, gateway
from bridge.local.ingest import Ingest
from bridge.local.objectstore import ObjectStore, Rule, Webhook
from bridge.local.target import LocalTarget
from bridge.pipeline import NotificationRule
from bridge.storage import ObjectInfo, Store, open_store
from bridge.targets import Target
from bridge.targets.aws import Account, Buckets, QueueSource, aws_target
from bridge.targets.render import ProviderAccess

__all__ = ["AWS", "Accept", "Places"]

Accept = Callable[[str, bytes, Mapping[str, str]], Any]
"""(provider, body, headers): persists the events in a body before it returns."""

AWS: Final = frozenset({"lambda", "batch"})
_LOOPBACK: Final = "127.0.0.1"
_WAIT: Final = 1
_S3: Final = ProviderRef("s3")


class Places:
    """Stores, the AWS endpoint, executors and targets, as far as a document needs them.

    `used` names the targets that jobs may run on, `engine` is container or process. Everything
    listens on loopback, or on the container bridge when jobs run in containers. `accept` gets every
    event. What is started is handed to `stack`, which stops it. Targets in `clusters` are real.
    """

    def __init__(
        self,
        document: Document,
        used: Iterable[str],
        *,
        engine: str,
        session: str,
        folder: Path,
        stack: ExitStack,
        together: Together,
        accept: Accept,
        clusters: Clusters,
    ) -> None:
        self._specs = [document.targets[name] for name in dict.fromkeys(used)]
        self._refs = {path.provider for s in document.services for path in (*s.inputs, *s.outputs)}
        self._session = session
        self._folder = folder
        self._stack = stack
        self._together = together
        self._accept = accept
        self._clusters = clusters
        contained = engine == "container"
        self._address = gateway() if contained else _LOOPBACK
        self._runtime = _runtime() if contained else None
        self.executor: Executor = choose(
            engine, session, folder=folder / "tasks", runtime=self._runtime
        )
        stack.callback(self.executor.close)
        self._stores: dict[ProviderRef, ObjectStore] = {}
        self._endpoint: AwsEndpoint | None = None
        self._account: Account | None = None
        self._buckets: Buckets | None = None
        self._access: dict[ProviderRef, ProviderAccess] = {}

    def start(self) -> None:
        """Start the servers side by side; returns when all answer."""
        _refuse_unknown(self._refs)
        work: list[Callable[[], None]] = [
            partial(self._start_store, ref, self._folder / "objects" / str(number))
            for number, ref in enumerate(sorted(self._refs))
            if ref.type == "minio"
        ]
        if any(ref.type == "s3" for ref in self._refs) or self._kinds & AWS:
            work.append(self._start_aws)
        self._together.run(work, len(work))
        self._access = {ref: self._reach(ref) for ref in self._refs}

    @property
    def _kinds(self) -> set[str]:
        return {spec.kind for spec in self._specs}

    def _start_store(self, ref: ProviderRef, folder: Path) -> None:
        ingest = Ingest(
            lambda body, headers: self._accept(str(ref), body, headers), address=self._address
        )
        self._stack.enter_context(ingest)
        webhook = Webhook(ingest.url, ingest.token)
        store = ObjectStore(folder, webhook, address=self._address)
        self._stores[ref] = self._stack.enter_context(store)

    def _start_aws(self) -> None:
        endpoint = AwsEndpoint(
            self._folder / "aws",
            engine=self.executor.engine,
            session=self._session,
            address=self._address,
            runtime=self._runtime,
        )
        self._endpoint = self._stack.enter_context(endpoint)
        self._account = account_of(endpoint)
        self._account.prepare()
        self._buckets = Buckets(self._account)

    def _reach(self, ref: ProviderRef) -> ProviderAccess:
        """How anything on this machine, and any container, reaches the provider."""
        if ref.type == "minio":
            settings, secrets = self._stores[ref].provider()
            return ProviderAccess(settings, secrets)
        assert self._endpoint is not None
        return s3_access(self._endpoint)

    def targets(self) -> dict[str, Target]:
        """One target for each name that is used."""
        made = {spec.name: self._target(spec) for spec in self._specs}
        for target in made.values():
            self._stack.callback(target.close)
        return made

    def _target(self, spec: TargetSpec) -> Target:
        if spec.name in self._clusters:
            return self._clusters.target(spec.name, self._access)
        if spec.kind not in AWS:
            return LocalTarget(
                spec,
                self.executor,
                session=self._session,
                folder=self._folder / "targets" / spec.name,
                access=self._access,
            )
        assert self._account is not None
        # What runs on AWS has a role: its own S3 needs no keys.
        access = {ref: one for ref, one in self._access.items() if ref != _S3}
        return aws_target(spec, self._account, access)

    def ensure_buckets(self, names: Iterable[tuple[ProviderRef, str]]) -> None:
        """Make the buckets that are not there."""
        for ref, bucket in sorted(set(names)):
            if ref.type == "minio":
                self._stores[ref].ensure_bucket(bucket)
            else:
                assert self._account is not None
                self._account.ensure_bucket(bucket)

    def watch(self, rules: Sequence[NotificationRule]) -> None:
        """Make new objects under the rules become events."""
        by_bucket: dict[tuple[str, str], list[NotificationRule]] = {}
        for rule in rules:
            by_bucket.setdefault((rule.provider, rule.bucket), []).append(rule)
        for (provider, bucket), some in sorted(by_bucket.items()):
            if (store := self._minio(provider)) is not None:
                store.ensure_rules([Rule(r.bucket, r.prefix, r.suffix) for r in some])
            elif self._buckets is not None:
                self._buckets.ensure_rules(bucket, some)
        if self._account is not None and any(name == str(_S3) for name, _ in by_bucket):
            source = QueueSource(
                self._account, lambda body, headers: self._accept("", body, headers), wait=_WAIT
            )
            with held_back():
                self._stack.callback(source.close)
                source.start()

    def open(self, ref: ProviderRef) -> Store:
        """The data path of a provider."""
        access = self._access[ref]
        return open_store(str(ref), access.settings, access.secrets)

    def listing(self, provider: str, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        """What is in a bucket now."""
        if (store := self._minio(provider)) is not None:
            return store.listing(bucket, prefix)
        assert self._buckets is not None
        return self._buckets.listing(bucket, prefix)

    def _minio(self, provider: str) -> ObjectStore | None:
        return next((store for ref, store in self._stores.items() if str(ref) == provider), None)


def _runtime() -> Path:
    from bridge.runtime import cached  # noqa: PLC0415  only containers need it

    return cached()


def _refuse_unknown(refs: Iterable[ProviderRef]) -> None:
    unknown = sorted(str(ref) for ref in refs if ref.type not in ("minio", "s3"))
    if unknown:
        raise UsageError(
            f"storage provider {unknown[0]} has no stand-in on this machine",
            hint="run works with minio and s3 providers",
        )
