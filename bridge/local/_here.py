"""A document as it stands on this machine: which storages there are, and what starts how fast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from bridge.fdl.model import Document, ProviderRef, StoragePath
from bridge.local._clusters import Clusters
from bridge.pipeline import storage_of
from bridge.scheduler import Decision, Image, Snapshot, TargetState, snapshot_of

__all__ = ["START", "localised", "snapshot", "used_targets"]

# Typical seconds until a script runs here, by engine: a supervisor that is warm, a container.
START: Final = {"process": 0.05, "container": 0.5}


def localised(document: Document) -> Document:
    """The document with one provider for each storage, and no connection to any of them.

    Two providers of one server stay one storage, and what is apart stays apart. All of S3 is one,
    as on AWS a bucket's name alone says which bucket it is.
    """
    first: dict[str, ProviderRef] = {}

    def here(path: StoragePath) -> StoragePath:
        if path.provider.type == "s3":
            return replace(path, provider=ProviderRef("s3"))
        storage = storage_of(path.provider, document)
        return replace(path, provider=first.setdefault(storage, path.provider))

    services = tuple(
        replace(s, inputs=tuple(map(here, s.inputs)), outputs=tuple(map(here, s.outputs)))
        for s in document.services
    )
    return replace(document, services=services, providers={})


def snapshot(
    document: Document,
    engine: str,
    clusters: Clusters,
    loads: Mapping[str, tuple[int, int]] | None = None,
    images: Mapping[str, Mapping[str, Image]] | None = None,
) -> Snapshot:
    """All targets as they are here, where this machine stands for each that is no real cluster.

    `engine` is `process` or `container`; `loads` are jobs running and queued, `images` those of
    services, both by target.
    """
    idle = (0, 0)
    states = {}
    for name, spec in document.targets.items():
        running, queued = (loads or {}).get(name, idle)
        if name in clusters:
            known = TargetState(spec, running=running, queued=queued)
            states[name] = clusters.state(known, document.services)
            continue
        states[name] = TargetState(
            spec,
            running=running,
            queued=queued,
            start=START[engine],
            isolated=engine == "container",
            image=(images or {}).get(name, {}),
        )
    return snapshot_of(document, states)


def used_targets(decisions: Iterable[Decision]) -> list[str]:
    """Targets that jobs may run on: all that can, because each job is placed anew."""
    feasible = (c.offer.target for d in decisions for c in d.candidates if c.offer.feasible)
    return list(dict.fromkeys(feasible))
