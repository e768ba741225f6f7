"""The manager inside a cluster: what it is made of there, from its environment."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Final
from urllib.parse import urlsplit

from bridge.dispatch.tracing import tracing_of
from bridge.errors import BridgeError
from bridge.fdl.model import ProviderRef, TargetSpec
from bridge.scheduler import Snapshot, TargetState
from bridge.secret import Secret
from bridge.storage.minio import MinioServer, ServerSettings
from bridge.targets.aws import Account, AccountSettings, PulledBuckets
from bridge.targets.kubernetes import ClusterCapacity, ClusterSettings, Connection, Routing
from bridge.targets.kubernetes.knative import KnativeTarget
from bridge.targets.render import ProviderAccess
from manager.core import Manager, Parts
from manager.minio_accounts import MinioAccounts
from manager.settings import Reader, from_environment
from manager.store import ServiceStore
from manager.stores import open_stores
from manager.webhook import admin_of, ensure_webhook

__all__ = ["InCluster", "account_of"]

_LOG: Final = logging.getLogger("manager")
_WEBHOOK: Final = "INGEST"
_KEPT: Final = "webhook_token"
# A digest of the address and the token that the object store was told last.
_TOLD: Final = "webhook_told"
_QUEUE: Final = "queue"
# Of the name within that of a queue, which may have 80 characters.
_LONGEST: Final = 48


class InCluster:
    """A manager over one Kubernetes cluster and one MinIO server.

    Nothing is asked of either before `start`. What is opened is handed to `stack`. UsageError for a
    variable that is missing or wrong, PermanentError when the state cannot be opened.
    """

    def __init__(self, environment: Mapping[str, str], stack: ExitStack) -> None:
        state, jobs = open_stores(environment, stack)
        self.settings = from_environment(environment, token=_token(environment, state))
        self._read = Reader(environment)
        self._server = _server_settings(self._read)
        spec = TargetSpec(self.settings.name, "knative", settings=self._cluster())
        self._connection = Connection(ClusterSettings.of(spec))
        stack.callback(self._connection.close)
        self._capacity = ClusterCapacity(self._connection)
        stack.callback(self._capacity.close)
        access: dict[ProviderRef, ProviderAccess] = {}
        tokens: dict[str, Secret] = {}
        target = KnativeTarget(
            spec, self._connection, access, routing=self._routing(), tokens=tokens
        )
        stack.callback(target.close)
        account = account_of(self._read, self.settings.name, state)
        parts = Parts(
            state=state,
            jobs=jobs,
            buckets=MinioServer(self._server),
            targets={spec.name: target},
            access=access,
            cloud=self._pulled(account, stack) if account else None,
            cloud_endpoint=account.s3_endpoint.rstrip("/") if account else None,
            measure=self._measured,
            nodes=self._capacity.nodes,
            tokens=tokens,
            accounts=MinioAccounts(lambda: self._server),
            tracing=tracing_of(os.environ),
        )
        self.manager = Manager(self.settings, parts)
        stack.callback(self.manager.close)

    def start(self) -> None:
        """Look at the cluster and the object store, and begin to work."""
        self._capacity.refresh()
        if url := self._read.text("BRIDGE_WEBHOOK_URL", ""):
            self._announce(url)
        self.manager.start()

    def _announce(self, url: str) -> None:
        """Let the object store send its events; without it they are found by listing."""
        state, token = self.manager.parts.state, self.settings.webhook_token
        now = hashlib.sha256(f"{url}\n{token.reveal()}".encode()).hexdigest()
        # Who gives us a token may have given it to the object store too.
        given = now if self._read.text("BRIDGE_WEBHOOK_TOKEN", "") else ""
        changed = state.setting(_TOLD, given) != now
        try:
            if ensure_webhook(admin_of(self._server), _WEBHOOK, url, token, changed=changed):
                _LOG.info("the object store sends its events to %s now", url)
        except BridgeError as error:
            _LOG.warning("%s (%s)", error.message, error.hint)
        else:
            state.put_setting(_TOLD, now)

    def _pulled(self, account: Account, stack: ExitStack) -> PulledBuckets:
        """Nothing is asked of AWS before a service takes its input from S3."""
        cloud = PulledBuckets(
            lambda: account, lambda body, headers: self.manager.ingest("", body, headers)
        )
        stack.callback(cloud.close)
        return cloud

    def _cluster(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "namespace": self.settings.services_namespace,
            "runtime_image": self._read.text("BRIDGE_RUNTIME_IMAGE", ""),
            "image_pull_secrets": self._read.words("BRIDGE_IMAGE_PULL_SECRETS"),
            "job_ttl": self._read.whole("TTL_JOB", 2_592_000),
        }
        return {name: value for name, value in found.items() if value}

    def _measured(self, loads: Mapping[str, tuple[int, int]]) -> Snapshot:
        served = self.manager.served
        return Snapshot(
            tuple(
                self._capacity.state(
                    TargetState(spec, running=loads[spec.name][0], queued=loads[spec.name][1]),
                    served,
                )
                for spec in self.manager.specs
            )
        )

    def _routing(self) -> Routing:
        """How exposed services are reached; the manager's own address is where events come to."""
        own = urlsplit(self._read.text("BRIDGE_WEBHOOK_URL", ""))
        host = self._read.text("INGRESS_HOST", "")
        if not own.netloc:
            return Routing(host=host)
        return Routing(host=host, manager_url=f"{own.scheme}://{own.netloc}")


def _server_settings(read: Reader) -> ServerSettings:
    return ServerSettings(
        endpoint=read.text("MINIO_ENDPOINT", "https://minio-service.minio:9000"),
        access_key=Secret(read.required("MINIO_ACCESS_KEY")),
        secret_key=Secret(read.required("MINIO_SECRET_KEY")),
        region=read.text("MINIO_REGION", "us-east-1"),
        verify=read.flag("MINIO_TLS_VERIFY", default=True),
        webhook=_WEBHOOK,
    )


def account_of(read: Reader, name: str, state: ServiceStore) -> Account | None:
    """The account whose events of S3 are pulled, None where the environment names no region.

    Its queue is that of all managers on this state, and the same after a restart: others may have
    the same name.
    """
    region = read.text("AWS_REGION", read.text("AWS_DEFAULT_REGION", ""))
    if not region:
        return None
    own = state.kept_setting(_QUEUE, secrets.token_hex(4))
    fit = re.sub(r"[^A-Za-z0-9_-]", "-", name)[:_LONGEST]
    return Account(AccountSettings(f"oscar-bridge-{fit}-{own}", region=region))


def _token(environment: Mapping[str, str], state: ServiceStore) -> Secret:
    """The webhook's token: the given one, else one that is made once."""
    if given := environment.get("BRIDGE_WEBHOOK_TOKEN"):
        return Secret(given)
    return Secret(state.kept_setting(_KEPT, secrets.token_urlsafe(32)))
