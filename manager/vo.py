"""Virtual organisations: for which of a user's groups a service is."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.errors import UsageError
from manager.auth import Caller
from manager.oidc import ANY_GROUP
from manager.service import Source

__all__ = ["with_vo"]


def with_vo(source: Source, caller: Caller, configured: Sequence[str]) -> Source:
    """The source with the organisations that it is for; `configured` are those of the cluster.

    One that names none is for the first of the cluster's that the caller is in. UsageError for one
    that the caller is not in, or that is none of the cluster's. The administrator may name any.
    """
    if caller.admin:
        return source
    said = source["service"].get("vo", [])
    named = said.split(",") if isinstance(said, str) else said
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise UsageError("vo must be text")
    names = [one.strip() for one in named if one.strip()]
    for name in names:
        if name not in caller.groups:
            raise UsageError(f"you are not in the virtual organisation {name}")
        if name not in configured and ANY_GROUP not in configured:
            raise UsageError(
                f"this cluster is not for the virtual organisation {name}",
                hint=f"it is for {', '.join(configured)}",
            )
    names = names or [one for one in configured if one in caller.groups][:1]
    service = {key: value for key, value in source["service"].items() if key != "vo"}
    return {**source, "service": service | ({"vo": names} if names else {})}
