"""What a cluster answers, as values: of both generations of OSCAR, and whatever is left out."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.errors import PermanentError
from bridge.secret import Secret

__all__ = ["RemoteJob", "RemoteService", "jobs_in", "numbers", "storage_in", "truth"]

_FRACTION = re.compile(r"(\.\d{6})\d+")


@dataclass(frozen=True, slots=True)
class RemoteService:
    """A service as a cluster has it. `document` is the answer itself, which may hold secrets."""

    name: str
    token: Secret | None = None
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, value: object) -> RemoteService:
        """The service in an answer; PermanentError when there is none."""
        if not isinstance(value, Mapping) or not value.get("name"):
            raise PermanentError("a cluster gave something that is no service")
        token = value.get("token")
        return cls(str(value["name"]), Secret(str(token)) if token else None, value)

    def annotation(self, name: str) -> str:
        """The value of an annotation; "" when it has none of that name."""
        found = self.document.get("annotations")
        return str(found.get(name, "")) if isinstance(found, Mapping) else ""

    def paths(self, key: str) -> Sequence[Mapping[str, Any]]:
        """The service's `input` or `output` paths."""
        found = self.document.get(key)
        return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """A job in a list. Times are in seconds since the epoch, None when the cluster says none."""

    name: str
    status: str
    created: float | None = None
    started: float | None = None
    finished: float | None = None


def jobs_in(answer: object) -> Iterator[RemoteJob]:
    """The jobs of a page. Before OSCAR had pages, the answer was the map of jobs itself."""
    if not isinstance(answer, Mapping):
        return
    listed = answer.get("jobs", answer)
    if not isinstance(listed, Mapping):
        return
    for name, one in listed.items():
        if isinstance(one, Mapping):
            yield RemoteJob(
                str(name),
                str(one.get("status") or "Unknown"),
                _moment(one.get("creation_time")),
                _moment(one.get("start_time")),
                _moment(one.get("finish_time")),
            )


def storage_in(answer: object) -> tuple[dict[str, Any], dict[str, Secret]]:
    """Settings and credentials of the cluster's own MinIO, from its configuration."""
    found = answer.get("minio_provider") if isinstance(answer, Mapping) else None
    if not isinstance(found, Mapping) or not found.get("endpoint"):
        raise PermanentError(
            "the cluster does not say where its MinIO is",
            hint="a user of OIDC may have to log in at the cluster once",
        )
    settings = {
        "endpoint": str(found["endpoint"]),
        "region": str(found.get("region") or "us-east-1"),
        "verify": truth(found.get("verify", True)),
    }
    keys = {name: Secret(str(found.get(name) or "")) for name in ("access_key", "secret_key")}
    return settings, keys


def numbers(value: object) -> tuple[int, ...]:
    """Ports: a list since OSCAR 4.1, a number before; 0 and nothing mean none."""
    items = value if isinstance(value, list | tuple) else [value]
    texts = (str(one).strip() for one in items if one is not None and not isinstance(one, bool))
    return tuple(int(text) for text in texts if text.isdecimal() and int(text))


def truth(value: object) -> bool:
    """A flag that may come as text."""
    return value if isinstance(value, bool) else str(value).strip().lower() in ("true", "1", "yes")


def _moment(value: object) -> float | None:
    """RFC 3339 with up to nine digits of a second, of which Python reads six."""
    if not isinstance(value, str) or not value:
        return None
    try:
        return datetime.datetime.fromisoformat(_FRACTION.sub(r"\1", value)).timestamp()
    except ValueError:
        return None
