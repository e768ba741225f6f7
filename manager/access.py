"""Who may see and change what. Pure."""

from __future__ import annotations

from bridge.errors import UsageError
from manager.auth import Caller
from manager.service import Deployed
from manager.store import BucketRow

__all__ = ["ConflictError", "may_see", "may_see_bucket", "owns", "owns_bucket"]


class ConflictError(UsageError):
    """What is asked for stands against something that is there already."""

    code = "conflict"


def owns(caller: Caller, one: Deployed) -> bool:
    """Whether the caller may change the service."""
    return caller.admin or caller.uid == one.owner


def may_see(caller: Caller, one: Deployed) -> bool:
    """Whether the caller may see and call the service."""
    options = one.options
    return owns(caller, one) or _shared(caller, options.visibility, options.allowed_users)


def owns_bucket(caller: Caller, row: BucketRow | None) -> bool:
    """Whether the caller may change the bucket; of which nothing is known is the admin's."""
    return caller.admin or (row is not None and row.owner == caller.uid)


def may_see_bucket(caller: Caller, row: BucketRow | None) -> bool:
    """Whether the caller may look into the bucket."""
    if row is None:
        return caller.admin
    return owns_bucket(caller, row) or _shared(caller, row.visibility, row.allowed_users)


def _shared(caller: Caller, visibility: str, users: tuple[str, ...]) -> bool:
    return visibility == "public" or (visibility == "restricted" and caller.uid in users)
