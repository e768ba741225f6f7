"""The members of a service's federation: who they are, and how they hear of the service.

The list of members is kept in the service. Members hear of a change as far as they can be reached:
what one of them does not take is said, and undoes nothing here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from bridge.errors import NotFoundError, UsageError
from bridge.fdl.model import ProviderRef
from bridge.fdl.options import Federation, OscarOptions
from bridge.secret import Secret
from bridge.targets.oscar import ClusterAccess, OscarClient
from manager._json import folded
from manager.access import owns
from manager.auth import Caller
from manager.core import LOG, Manager
from manager.service import Deployed
from manager.view import Reader, member_view

__all__ = ["Change", "Federations", "Wish", "read_wish"]

Change = Literal["add", "replace", "remove"]
Member = dict[str, Any]
# OSCAR's clients wait 20 seconds for an answer.
_PATIENCE: Final = 12.0
_WORKERS: Final = 8
_ORIGIN: Final = ("oscar.grycap/origin-cluster", "oscar.grycap/origin-service")
_WORKER: Final = "oscar.grycap/federation-worker"
_UNTOLD: Final = "it cannot be reached, or does not take the service"
_PASSWORDS: Final = ("auth_user", "auth_password")
_OLD: Final = ("replicas", "delegation", "rescheduler_threshold")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wants of a federation; `delete` goes with members that are removed."""

    members: tuple[Member, ...]
    update: Member | None = None
    clusters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    providers: Mapping[str, Any] = field(default_factory=dict, repr=False)
    delete: bool = False


def read_wish(body: Mapping[str, Any]) -> Wish:
    """A client's JSON object; UsageError for what is wrong with it."""
    value = folded(body)
    delete = value.get("delete", False)
    if not isinstance(delete, bool):
        raise UsageError("delete must be true or false")
    members = _members(value, "members")
    if not members:
        raise UsageError("members must name at least one member")
    return Wish(
        members,
        next(iter(_members(value, "update")), None),
        _block(value, "clusters"),
        _block(value, "storage_providers"),
        delete,
    )


def _members(value: Mapping[str, Any], key: str) -> tuple[Member, ...]:
    found = value.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise UsageError(f"{key} must be a list of objects")
    return tuple({k: v for k, v in folded(one).items() if v not in ("", {})} for one in found)


def _block(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key, {})
    if not isinstance(found, Mapping) or not all(isinstance(v, Mapping) for v in found.values()):
        raise UsageError(f"{key} must be an object of objects")
    return found


class Federations:
    """The federations of a manager's services."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_WORKERS, "federation")

    def shown(self, one: Deployed, caller: Caller) -> dict[str, Any]:
        """The topology and the members; the headers of requests to them only for the owner."""
        federation = _federation(one)
        reader = Reader(owner=owns(caller, one))
        members = [member_view(member, reader) for member in federation.members]
        return {"topology": federation.topology, "members": members or None}

    def change(
        self, caller: Caller, name: str, change: Change, wish: Wish
    ) -> tuple[Deployed, list[str]]:
        """Change the members; the service then, and what did not reach whom.

        NotFoundError when a member that is to be replaced is none; errors as `Manager.update`'s.
        """
        with self._lock:
            one = self._manager.find(name)
            if one is None:
                raise NotFoundError(f"there is no service {name!r} any more")
            before = _written(one)
            after = _changed(before, change, wish)
            made = self._manager.update(caller, one, _source(one, after, wish))
        warnings = self.tell(made)
        if change == "remove" and wish.delete:
            gone = [member for member in before if member not in after]
            warnings += self._delete_local(caller, made, gone)
        return made, warnings

    def _delete_local(self, caller: Caller, one: Deployed, gone: Iterable[Member]) -> list[str]:
        """Delete the services of removed members that are services of this cluster."""
        here = {one.source["cluster_id"], self._manager.settings.name}
        names = {str(m.get("service_name", "")) for m in gone if m.get("cluster_id") in here}
        refused: list[str] = []
        for name in sorted(names - {one.name}):
            found = self._manager.find(name)
            if found is not None and owns(caller, found):
                self._manager.delete(name)
            elif found is not None:
                refused.append(f"the service {name} is not yours to delete")
        return refused

    def tell(self, one: Deployed) -> list[str]:
        """Let the members have the service as it is now; what did not work, by member.

        What came from a federation goes no further: members that tell one another never end.
        """
        federation, options = _federation(one), one.service.options
        assert isinstance(options, OscarOptions)
        if federation.topology == "none" or options.annotations.get(_WORKER) == "true":
            return []
        members = [member for member in _written(one) if member.get("type", "oscar") == "oscar"]
        told = [(str(m.get("cluster_id", "")), self._pool.submit(_push, one, m)) for m in members]
        done, _ = wait([future for _, future in told], _PATIENCE)
        return [
            f"member {name}: {said}"
            for name, future in told
            if (said := _outcome(future) if future in done else "it does not answer in time")
        ]


def _outcome(future: Future[None]) -> str:
    error = future.exception()
    if error is None:
        return ""
    # Words of a cluster that whoever asks has named may be anything, also what was sent to it.
    said = error.message if isinstance(error, UsageError) else _UNTOLD
    LOG.warning("a member of a federation was not told: %s (%s)", said, type(error).__name__)
    return said


def _federation(one: Deployed) -> Federation:
    options = one.service.options
    assert isinstance(options, OscarOptions)
    return options.federation or Federation()


def _written(one: Deployed) -> list[Member]:
    """The members as a client writes them."""
    shown = (member_view(member, Reader()) for member in _federation(one).members)
    return [{k: v for k, v in member.items() if v not in ("", {})} for member in shown]


def _changed(members: Sequence[Member], change: Change, wish: Wish) -> list[Member]:
    if change == "remove":
        return [one for one in members if not _is_among(one, wish.members)]
    if change == "add":
        kept = [one for one in members if not _is_among(one, wish.members)]
        return [*kept, *wish.members]
    if wish.update is None:
        raise UsageError("update must hold what the members become")
    if not all(any(_same(one, member) for one in members) for member in wish.members):
        raise NotFoundError("there is no such member in the federation")
    return [wish.update if _is_among(one, wish.members) else one for one in members]


def _is_among(one: Member, members: Iterable[Member]) -> bool:
    return any(_same(one, member) for member in members)


def _same(one: Member, other: Member) -> bool:
    """By kind, cluster and service; of URLs also by these, as they have neither."""
    return _identity(one) == _identity(other)


def _identity(one: Member) -> tuple[str, ...]:
    kind = str(one.get("type", "oscar")).lower()
    url = str(one.get("url", "")) if kind == "endpoint" else ""
    return kind, str(one.get("cluster_id", "")), str(one.get("service_name", "")), url


def _source(one: Deployed, members: Sequence[Member], wish: Wish) -> dict[str, Any]:
    """The source of the service with these members; clusters and providers are added to its own."""
    federation = _federation(one)
    said = {k: v for k, v in one.source["service"].items() if k not in _OLD}
    block: dict[str, Any] = {"topology": federation.topology, "members": [*members]}
    block |= {"group_id": federation.group_id} if federation.group_id else {}
    block |= {"delegation": federation.delegation} if federation.delegation else {}
    if federation.rescheduler_threshold:
        block["rescheduler_threshold"] = federation.rescheduler_threshold
    providers = {kind: {**some} for kind, some in one.source["providers"].items()}
    for kind, some in wish.providers.items():
        providers[kind.lower()] = {**providers.get(kind.lower(), {}), **some}
    # The platform's own object store: nobody else says where it is.
    providers.get("minio", {}).pop("default", None)
    return {
        **one.source,
        "service": said | {"federation": block},
        "clusters": {**one.source["clusters"], **wish.clusters},
        "providers": {kind: some for kind, some in providers.items() if some},
    }


def _push(one: Deployed, member: Member) -> None:
    """Make the service at a member, or change what came from here before."""
    client = OscarClient(_access(one, str(member.get("cluster_id", ""))))
    try:
        body = _body(one, member)
        found = client.service(body["name"])
        if found is None:
            client.create(body, one.service.secrets.values())
        elif all(found.annotation(key) == body["annotations"][key] for key in _ORIGIN):
            client.update(body, one.service.secrets.values())
        else:
            raise UsageError(f"it has another service {body['name']}")
    finally:
        client.close()


def _access(one: Deployed, cluster: str) -> ClusterAccess:
    """The access that the service itself gives: nothing of this manager's own goes there."""
    said = one.source["clusters"].get(cluster)
    if said is None:
        raise UsageError(f"the service says under clusters nothing of {cluster!r}")
    value = folded(said)
    endpoint, user = str(value.get("endpoint", "")), str(value.get("auth_user", ""))
    if not endpoint.startswith(("http://", "https://")):
        raise UsageError("its endpoint is not an http:// or https:// URL")
    refresh = one.service.secrets.get("refresh_token")
    password = str(value.get("auth_password", ""))
    if not refresh and not (user and password):
        raise UsageError("there are no credentials for it: auth_user and auth_password")
    return ClusterAccess(
        cluster,
        endpoint.rstrip("/"),
        user=user,
        password=Secret(password) if password else None,
        refresh_token=refresh,
        ssl_verify=bool(value.get("ssl_verify", True)),
    )


def _body(one: Deployed, member: Member) -> dict[str, Any]:
    """The service as its member gets it: with no secrets but those that it needs itself.

    All members know one another in a mesh, as they hand jobs on.
    """
    said = one.source["service"]
    mesh = _federation(one).topology == "mesh"
    origin = dict(zip(_ORIGIN, (one.source["cluster_id"], one.name), strict=True))
    body = {k: v for k, v in said.items() if k != "placement"}
    if not mesh:
        del body["federation"]
    return {
        **body,
        "name": str(member.get("service_name") or one.name),
        "cluster_id": str(member.get("cluster_id", "")),
        "annotations": {**said.get("annotations", {}), **origin, _WORKER: "true"},
        "storage_providers": _used(one),
        "clusters": _others(one, member) if mesh else {},
    }


def _used(one: Deployed) -> dict[str, Any]:
    """The connections to where the service reads and writes."""
    paths = [*one.service.inputs, *one.service.outputs]
    paths += [one.options.mount] if one.options.mount else []
    refs = {path.provider for path in paths}
    # What is not shared has a name of its own in paths.
    refs |= {provider.ref for ref, provider in one.providers.items() if ref in refs}
    some = {
        kind: {name: said for name, said in of_kind.items() if ProviderRef(kind, name) in refs}
        for kind, of_kind in one.source["providers"].items()
    }
    return {kind: of_kind for kind, of_kind in some.items() if of_kind}


def _others(one: Deployed, member: Member) -> dict[str, Any]:
    """The other clusters of a mesh: who has the refresh token needs no passwords beside it."""
    names = {str(other.get("cluster_id", "")) for other in _written(one)}
    names.discard(str(member.get("cluster_id", "")))
    clusters = {name: folded(some) for name, some in one.source["clusters"].items()}
    dropped = _PASSWORDS if one.service.secrets.get("refresh_token") else ()
    return {
        name: {key: value for key, value in clusters[name].items() if key not in dropped}
        for name in sorted(names & clusters.keys())
    }
