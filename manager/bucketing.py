"""Buckets with their owners: what OSCAR says of a bucket beside what the object store knows."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, Literal, cast

from bridge.errors import NotFoundError, UsageError
from bridge.fdl import limits
from bridge.storage import ObjectInfo
from manager._json import folded, text_of
from manager.access import may_see_bucket, owns_bucket
from manager.accounts import Accounts
from manager.auth import Caller, Refused
from manager.buckets import Buckets
from manager.calls import rfc3339
from manager.quotas import Quotas
from manager.store import BucketRow, ServiceStore

__all__ = ["Bucketing", "Presign", "Wish", "read_presign", "read_wish"]

_VISIBILITY: Final = ("private", "restricted", "public")
_OPERATIONS: Final = {"upload": "PUT", "download": "GET"}
_EXPIRY: Final = 900
_LONGEST: Final = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wants a bucket to be. `folder` is made in it, "" for none.

    A `visibility` of "" and no `allowed_users` at all leave what there is.
    """

    name: str
    folder: str = ""
    visibility: str = ""
    allowed_users: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Presign:
    """One operation on one object, for `seconds`.

    `headers` are told to whoever uses the URL; it works without them, too.
    """

    key: str
    operation: Literal["upload", "download"]
    seconds: int = _EXPIRY
    headers: Mapping[str, str] = field(default_factory=dict)


def read_wish(body: Mapping[str, Any]) -> Wish:
    """A client's JSON object; UsageError for what is wrong with it."""
    value = folded(body)
    name, _, folder = text_of(value, "bucket_name").strip(" /").partition("/")
    limit = limits()["s3.bucket_name"]
    if limit.broken_by(name):
        raise UsageError(f"{name!r} is not a name of a bucket: {limit.what}")
    if any(part in ("", ".", "..") for part in folder.split("/")) and folder:
        raise UsageError(f"{folder!r} is not a folder")
    visibility = text_of(value, "visibility").lower()
    if visibility and visibility not in _VISIBILITY:
        raise UsageError(f"visibility must be one of {', '.join(_VISIBILITY)}")
    return Wish(name, folder, visibility, _users(value))


def _users(value: Mapping[str, Any]) -> tuple[str, ...] | None:
    users = value.get("allowed_users")
    if users is None:
        return None
    if not isinstance(users, list) or not all(isinstance(user, str) for user in users):
        raise UsageError("allowed_users must be a list of texts")
    return tuple(user.strip() for user in users if user.strip())


def read_presign(body: Mapping[str, Any]) -> Presign:
    """A client's JSON object; UsageError for what is wrong with it."""
    value = folded(body)
    key = text_of(value, "object_key").strip().lstrip("/")
    operation = text_of(value, "operation").lower()
    # The name that oscar-python has for it; 0 is how it leaves it out.
    seconds = value.get("expires_in", value.get("expires") or _EXPIRY)
    if not key or any(part in (".", "..") for part in key.split("/")):
        raise UsageError("object_key must name an object")
    if operation not in _OPERATIONS:
        raise UsageError("operation must be upload or download")
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= _LONGEST:
        raise UsageError(f"expires_in must be 1 to {_LONGEST} seconds")
    headers = value.get("extra_headers", {})
    if not isinstance(headers, dict) or not all(isinstance(v, str) for v in headers.values()):
        raise UsageError("extra_headers must be texts by name")
    kind = text_of(value, "content_type")
    named = {**headers, **({"Content-Type": kind} if kind else {})}
    return Presign(key, cast("Literal['upload', 'download']", operation), seconds, named)


class Bucketing:
    """The buckets of a manager, seen by callers. Errors: Refused, and those of `Buckets`."""

    def __init__(
        self, buckets: Buckets, state: ServiceStore, accounts: Accounts, quotas: Quotas
    ) -> None:
        self._buckets = buckets
        self._state = state
        self._accounts = accounts
        self._quotas = quotas

    def seen(self, caller: Caller) -> list[dict[str, Any]]:
        """All buckets that the caller may look into."""
        known = self._state.buckets()
        names = (n for n in self._buckets.buckets() if may_see_bucket(caller, known.get(n)))
        return [_view(name, known.get(name), listed=True) for name in names]

    def contents(self, caller: Caller, name: str, page: str, size: int) -> dict[str, Any]:
        """One bucket with a page of its objects."""
        row = self._state.bucket(name)
        self._must_exist(name)
        if not may_see_bucket(caller, row):
            raise Refused(403, f"the bucket {name} is not yours to see")
        after = _key_of(page)
        found = list(islice(self._buckets.listing(name, start_after=after), size + 1))
        kept, more = found[:size], len(found) > size
        answer = _view(name, row) | {"objects": [_object(info) for info in kept]}
        answer |= {"next_page": _page_of(kept[-1].key)} if more else {}
        return answer | {"is_truncated": more, "returned_items": len(kept)}

    def create(self, caller: Caller, wish: Wish) -> None:
        """Make a bucket; 400 when there is one of that name, or somebody else is making it.

        It is the caller's before it is there: of two who ask at once one is refused, and one that
        could not be made is its owner's to make, or to delete.
        """
        if self._buckets.has_bucket(wish.name):
            raise UsageError(f"the bucket {wish.name} already exists")
        visibility = wish.visibility or "private"
        row = BucketRow(wish.name, caller.uid, visibility, wish.allowed_users or ())
        if self._quotas.claim_bucket(row).owner != caller.uid:
            raise UsageError(f"the bucket {wish.name} already exists, and is another user's")
        self._buckets.ensure_bucket(wish.name)
        if wish.folder:
            self._buckets.ensure_folder(wish.name, wish.folder)
        self._accounts.put_bucket(row)

    def update(self, caller: Caller, wish: Wish) -> None:
        """Change who may look into a bucket."""
        self._must_exist(wish.name)
        row = self._state.bucket(wish.name)
        if not owns_bucket(caller, row):
            raise Refused(403, f"the bucket {wish.name} is not yours to change")
        if row is not None and row.service:
            raise Refused(403, f"the bucket {wish.name} belongs to the service {row.service}")
        old = row or BucketRow(wish.name, caller.uid)
        users = old.allowed_users if wish.allowed_users is None else wish.allowed_users
        visibility = wish.visibility or old.visibility
        self._accounts.put_bucket(replace(old, visibility=visibility, allowed_users=users))

    def delete(self, caller: Caller, name: str) -> None:
        """Remove a bucket with everything in it."""
        row = self._state.bucket(name)
        if row is None:
            self._must_exist(name)
        if not owns_bucket(caller, row):
            raise Refused(403, f"the bucket {name} is not yours to delete")
        try:
            self._buckets.remove_bucket(name)
        except NotFoundError:
            # It was never made, or somebody has removed it on the object store itself.
            if row is None:
                raise
        self._accounts.remove_bucket(name)

    def presign(self, caller: Caller, name: str, wish: Presign, now: float) -> dict[str, Any]:
        """A URL that does one operation on one object without credentials."""
        self._must_exist(name)
        if not may_see_bucket(caller, self._state.bucket(name)):
            raise Refused(403, f"the bucket {name} is not yours to see")
        if wish.operation == "upload":
            self._quotas.check_writing(name)
        answer: dict[str, Any] = {
            "object_key": wish.key,
            "operation": wish.operation,
            "method": _OPERATIONS[wish.operation],
            "url": self._buckets.presign(name, wish.key, wish.operation, wish.seconds),
            "expires_at": rfc3339(now + wish.seconds),
        }
        return answer | ({"headers": dict(wish.headers)} if wish.headers else {})

    def _must_exist(self, name: str) -> None:
        if limits()["s3.bucket_name"].broken_by(name) or not self._buckets.has_bucket(name):
            raise NotFoundError(f"there is no bucket {name!r}")


def _view(name: str, row: BucketRow | None, *, listed: bool = False) -> dict[str, Any]:
    owner = row.owner if row else ""
    metadata = {} if listed or not owner else {"owner": owner}
    if row is not None and row.service:
        metadata |= {"from_service": row.service, "service": "true"}
    return {
        "bucket_name": name,
        "visibility": row.visibility if row else "private",
        "allowed_users": list(row.allowed_users) if row else [],
        "owner": owner,
        "metadata": metadata,
    }


def _object(info: ObjectInfo) -> dict[str, Any]:
    found: dict[str, Any] = {"object_name": info.key, "size_bytes": info.size}
    if info.modified:
        at = datetime.fromisoformat(info.modified).astimezone(UTC)
        found["last_modified"] = at.strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
    return found


def _page_of(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _key_of(page: str) -> str:
    try:
        return base64.b64decode(page, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise UsageError("there is no such page") from None
