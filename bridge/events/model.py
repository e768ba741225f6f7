"""The one Event that every source of events is decoded into."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any


class EventKind(StrEnum):
    """What started a job. The first seven are the names of faas-supervisor."""

    UNKNOWN = "UNKNOWN"
    APIGATEWAY = "APIGATEWAY"
    S3 = "S3"
    MINIO = "MINIO"
    ONEDATA = "ONEDATA"
    DCACHE = "DCACHE"
    RUCIO = "RUCIO"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, one job to run.

    `provider` is `<type>.<id>` of the storage that the object is in ("" for a raw body).
    `key` is decoded: exactly the object's name. `size` is in bytes, None when unknown.
    `record` is the single original record (dict) or the original body's JSON, for the script's
    EVENT variable. `body` holds the bytes of an event that carries its own data.
    `nonce` tells two raw bodies apart; empty for storage events, but for those that are told again
    on purpose.
    """

    kind: EventKind
    provider: str = ""
    bucket: str = ""
    key: str = ""
    size: int | None = None
    etag: str = ""
    version: str = ""
    sequencer: str = ""
    time: str = ""
    name: str = ""
    body: bytes | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    record: Any = None
    nonce: str = ""

    @property
    def is_storage(self) -> bool:
        """True when the event points at an object that must be staged in."""
        return bool(self.bucket or self.provider)

    @property
    def identity(self) -> str:
        """32 hex digits that are the same for the same event, however often it is delivered.

        From (provider, bucket, key, version or etag, sequencer), or the nonce for raw bodies.
        """
        content = self.version or self.etag
        parts = (self.provider, self.bucket, self.key, content, self.sequencer, self.nonce)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def job_id(service: str, event: Event) -> str:
    """Name of the job that this event starts in this service; the same event gives the same name.

    At most 63 characters of [a-z0-9-], so that it is also a Kubernetes name: the first 30 of the
    service's name, a dash and 32 hex digits of the event's and the service's identity.
    """
    digest = hashlib.sha256(f"{service}\0{event.identity}".encode()).hexdigest()[:32]
    return f"{job_prefix(service)}{digest}"


@lru_cache(1024)
def job_prefix(service: str) -> str:
    """What the names of all jobs of a service start with."""
    stem = "".join(c if c.isascii() and c.isalnum() else "-" for c in service.lower())[:30]
    return f"{stem.strip('-') or 'job'}-"
