"""The services that are deployed now, and which of them an object starts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

from bridge.errors import BridgeError, TemporaryError
from bridge.events import Event
from bridge.fdl.model import Document, ProviderRef, Service, StoragePath
from bridge.pipeline import Routes, storage_of
from bridge.targets.aws import Account, Deployed
from bridge.targets.aws.deployed import deployed_document, deployed_services

__all__ = ["Known", "Registry", "Services"]

LOG: Final = logging.getLogger("oscar-bridge")
_S3: Final = ProviderRef("s3")
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Known:
    """A deployed service: where its jobs go, and the FDL that decisions are made on."""

    at: Deployed
    document: Document

    @property
    def service(self) -> Service:
        """The one service of its document."""
        return self.document.service(self.at.service)


class Services:
    """All services at one moment. Immutable."""

    def __init__(self, known: Iterable[Known] = ()) -> None:
        self._known = {one.at.service: one for one in known}
        self._routes = Routes(Document("deployed", tuple(map(_on_s3, self._known.values()))))

    def get(self, name: str) -> Known | None:
        """One service, None when it is not deployed."""
        return self._known.get(name)

    def match(self, event: Event) -> tuple[str, ...]:
        """Names of the services that a storage event starts."""
        return self._routes.match(event.provider, event.bucket, event.key)

    @property
    def routes(self) -> Routes:
        """Which services an object starts."""
        return self._routes

    @property
    def deployed(self) -> list[Deployed]:
        """Where the jobs of each go."""
        return [one.at for one in self._known.values()]


@dataclass(slots=True)
class _Cache:
    services: Services = field(default_factory=Services)
    texts: Mapping[str, str] | None = None
    known: Mapping[str, tuple[str, Known]] = field(default_factory=dict)
    at: float = float("-inf")


class Registry:
    """Reads what the stacks have written down, at most every `fresh` seconds.

    When it cannot be read, what was known goes on being used; TemporaryError when nothing was. A
    service that makes no sense is said in the log and left out.
    """

    def __init__(self, account: Account, *, fresh: float = 10.0, least: float = 1.0) -> None:
        self._account = account
        self._fresh = fresh
        self._least = least
        self._lock = threading.Lock()
        self._cache = _Cache()

    def services(self, *, again: bool = False) -> Services:
        """What is deployed; `again` when something was missed that may be newer than we know."""
        with self._lock:
            age = time.monotonic() - self._cache.at
            if age >= (self._least if again else self._fresh):
                self._refresh()
            return self._cache.services

    def _refresh(self) -> None:
        cache = self._cache
        try:
            texts = deployed_services(self._account)
        except TemporaryError as error:
            if cache.texts is None:
                raise
            LOG.warning("%s; going on with the services known before", error)
            cache.at = time.monotonic()
            return
        if texts != cache.texts or texts.keys() != cache.known.keys():
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                found = dict(zip(texts, pool.map(self._known, texts, texts.values()), strict=True))
            cache.known = {name: one for name, one in found.items() if one is not None}
            cache.services = Services(known for _, known in cache.known.values())
        cache.texts, cache.at = texts, time.monotonic()

    def _known(self, name: str, text: str) -> tuple[str, Known] | None:
        before = self._cache.known.get(name)
        if before is not None and before[0] == text:
            return before
        try:
            at = Deployed.read(name, text)
            known = Known(at, deployed_document(self._account, at.document))
            mode = known.service.execution_mode
            return text, replace(known, at=replace(at, hands_over=mode == "lambda-batch"))
        except (BridgeError, KeyError) as error:
            LOG.error("%s cannot be used: %s", name, error)
            return before


def _on_s3(known: Known) -> Service:
    """The service with the inputs that are in S3 itself: only these send their events here."""

    def here(path: StoragePath) -> bool:
        return storage_of(path.provider, known.document) == storage_of(_S3, _NOWHERE)

    inputs = tuple(replace(path, provider=_S3) for path in known.service.inputs if here(path))
    return replace(known.service, inputs=inputs)


_NOWHERE: Final = Document("", ())
