"""The manager inside a cluster: what it is made of there, from its environment."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
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
from manager.abroad import Abroad
from manager.aws import AwsSide, account_for, made_image, runtime_mark, specs_of
from manager.cloud import MINIO
from manager.core import Manager, Parts
from manager.minio_accounts import MinioAccounts
from manager.settings import Reader, from_environment
from manager.store import ServiceStore
from manager.stores import open_stores
from manager.topics import ensure_topic
from manager.webhook import admin_of, ensure_webhook

__all__ = ["InCluster", "account_of"]

_LOG: Final = logging.getLogger("manager")
_WEBHOOK: Final = "INGEST"
_KEPT: Final = "webhook_token"
# A digest of the address and the token that the object store was told last.
_TOLD: Final = "webhook_told"
_QUEUE: Final = "queue"
_TOPIC: Final = "topic"
# Of the name within that of a queue, which may have 80 characters.
_LONGEST: Final = 48


class InCluster:
    """A manager over one Kubernetes cluster and one MinIO server, and over Lambda and Batch of an
    AWS account where it is told to.

    Nothing is asked of either before `start`. What is opened is handed to `stack`. UsageError for a
    variable that is missing or wrong, PermanentError when the state cannot be opened.
    """

    def __init__(self, environment: Mapping[str, str], stack: ExitStack) -> None:
        state, jobs = open_stores(environment, stack)
        self.settings = from_environment(environment, token=_token(environment, state))
        self._read = Reader(environment)
        self._server = _server_settings(self._read)
        self._buckets = MinioServer(self._server)
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
        outside = self._read.text("BRIDGE_AWS_MINIO", "")
        abroad = Abroad(access, inside=self._server.endpoint, outside=outside)
        self._beyond = frozenset() if outside else frozenset({str(MINIO)})
        self._aws = self._away(abroad, state)
        account = account_of(self._read, self.settings.name, state)
        parts = Parts(
            state=state,
            jobs=jobs,
            buckets=self._buckets,
            targets={spec.name: target, **(self._aws.targets if self._aws else {})},
            access=access,
            cloud=self._pulled(account, stack) if account else None,
            cloud_endpoint=account.s3_endpoint.rstrip("/") if account else None,
            measure=self._measured,
            nodes=self._capacity.nodes,
            tokens=tokens,
            accounts=MinioAccounts(lambda: self._server),
            tracing=tracing_of(os.environ),
            abroad=abroad,
            images=self._aws.image if self._aws else lambda service: service,
            mark=runtime_mark() if self._aws else "",
        )
        self.manager = Manager(self.settings, parts)
        stack.callback(self.manager.close)

    def start(self) -> None:
        """Look at the cluster and the object store, and begin to work."""
        self._capacity.refresh()
        if self._aws is not None:
            self._look_at(self._aws)
        if url := self._read.text("BRIDGE_WEBHOOK_URL", ""):
            self._announce(url)
        self.manager.start()

    def _away(self, abroad: Abroad, state: ServiceStore) -> AwsSide | None:
        """Lambda and Batch, where the environment names them."""
        if not (specs := specs_of(self._read)):
            return None
        account = account_for(self._read, state.kept_setting(_QUEUE, secrets.token_hex(4)))
        return AwsSide(account, specs, abroad, made_image(self._read, account))

    def _look_at(self, aws: AwsSide) -> None:
        """What cannot be asked is not known; services say it when they come there."""
        try:
            aws.look()
        except BridgeError as error:
            _LOG.warning("%s (%s)", error.message, error.hint)

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
            if not self._announce_by_topic(url):
                _LOG.warning("%s (%s)", error.message, error.hint)
        else:
            state.put_setting(_TOLD, now)

    def _announce_by_topic(self, url: str) -> bool:
        """Whether the object store, which is no MinIO that lets us, has topics instead."""
        name = f"oscar-bridge-{self.manager.parts.state.kept_setting(_TOPIC, secrets.token_hex(4))}"
        try:
            arn = ensure_topic(self._server, name, url, self.settings.webhook_token)
        except BridgeError as error:
            _LOG.info("%s (%s)", error.message, error.hint)
            return False
        self._buckets.settings = replace(self._server, topic=arn)
        _LOG.info("the object store sends its events to %s by the topic %s", url, arn)
        return True

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
        return Snapshot(tuple(self._state(spec, *loads[spec.name]) for spec in self.manager.specs))

    def _state(self, spec: TargetSpec, running: int, queued: int) -> TargetState:
        known = TargetState(spec, running=running, queued=queued)
        if self._aws is None or spec.name not in self._aws.targets:
            return self._capacity.state(known, self.manager.served)
        return replace(self._aws.state(known), beyond=self._beyond)

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
