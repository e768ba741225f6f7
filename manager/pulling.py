"""Inputs of services on stores that send no events to a manager: they are listed.

So are those of the manager's own object store whose events it does not send.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bridge.dispatch import ListedSource
from bridge.fdl.model import Document
from bridge.pipeline import Routes, routes
from bridge.storage import ObjectInfo, open_store
from manager.cloud import MINIO

if TYPE_CHECKING:
    from bridge.dispatch import Place
    from manager.core import Manager
    from manager.service import Deployed

__all__ = ["heard", "listed_source", "made_at", "routes_of"]

_TYPES: Final = frozenset({"onedata", "webdav"})


def _is_listed(provider: str) -> bool:
    return provider.partition(".")[0] in _TYPES


def heard(places: Iterable[Place]) -> list[Place]:
    """Those of the places whose store sends events."""
    return [place for place in places if not _is_listed(place[0])]


def made_at(services: Iterable[Deployed]) -> dict[str, float]:
    """When each service was made: what is older starts no job of it."""
    return {one.name: one.created for one in services}


def routes_of(document: Document) -> Routes:
    """Which services an object starts.

    What is listed with one service's keys starts no other, though it may be on one server with what
    the other takes: that one lists it for itself.
    """
    others = {ref: one for ref, one in document.providers.items() if not _is_listed(str(ref))}
    return routes(replace(document, providers=others))


def listed_source(manager: Manager) -> ListedSource:
    """What lists them; each service's with the keys that it brings."""
    dispatcher, access = manager.dispatcher, manager.parts.access

    def is_listed(place: Place) -> bool:
        own = place[0] == str(MINIO) and place[1] in manager.inputs.silent
        return own or _is_listed(place[0])

    def listing(provider: str, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        manager.make_room()
        if provider == str(MINIO):
            return manager.inputs.listing(provider, bucket, prefix)
        own = next((one for ref, one in access.copy().items() if str(ref) == provider), None)
        if own is None:  # of a service that is not runnable here yet
            return ()
        return open_store(provider, own.settings, own.secrets).list(bucket, prefix)

    return ListedSource(
        dispatcher,
        listing,
        lambda: [place for place in dispatcher.inputs() if is_listed(place)],
        interval=manager.settings.pull,
        since=lambda: made_at(manager.services()),
    )
