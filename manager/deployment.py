"""How a service stands: its copies, where it has some, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol, runtime_checkable

from bridge.errors import NotFoundError, PermanentError, TemporaryError
from bridge.fdl.model import Service
from bridge.fdl.options import OscarOptions
from bridge.targets.calls import Address
from bridge.targets.kubernetes import DeploymentStatus
from manager.auth import Refused
from manager.core import Manager
from manager.rollout import State
from manager.service import Deployed

__all__ = ["Change", "address_of_server", "change", "is_exposed", "log", "summary"]

Change = Literal["start", "stop", "restart"]
_NO_COPIES: Final = "the service has no copies that stay"


class Servers(Protocol):
    """Copies of services that stay: a cluster's, or this machine's."""

    def start(self, service: Service) -> DeploymentStatus:
        """Start an exposed service that was stopped. NotFoundError when it is not there."""
        ...

    def stop(self, service: str) -> DeploymentStatus:
        """Stop an exposed service until it is started."""
        ...

    def restart(self, service: str, now: str) -> DeploymentStatus:
        """Start the copies of an exposed service anew."""
        ...

    def status(self, service: str) -> DeploymentStatus:
        """How the copies are doing; `unavailable` for a service that has none."""
        ...

    def logs(self, service: str, tail: int = 200) -> list[tuple[str, str]]:
        """The last lines of all copies, each with its time."""
        ...


@runtime_checkable
class _HasServers(Protocol):
    """A target whose services have copies that stay."""

    servers: Servers


@runtime_checkable
class _Reached(Protocol):
    """Servers that nobody but us can show: no ingress does."""

    def address(self, name: str) -> Address:
        """Where a server listens. NotFoundError, or TargetUnavailable while it does not run."""
        ...


def is_exposed(one: Deployed) -> bool:
    """Whether the service is a server of its own."""
    options = one.service.options
    assert isinstance(options, OscarOptions)
    return options.expose is not None and bool(options.expose.api_port)


def address_of_server(manager: Manager, one: Deployed) -> Address:
    """Where an exposed service of this machine listens. NotFoundError for one that others show."""
    servers: object = _servers(manager, one)
    if not isinstance(servers, _Reached):
        raise NotFoundError(f"{one.name} has no server on this machine")
    return servers.address(one.name)


def summary(manager: Manager, one: Deployed) -> dict[str, Any]:
    """State, and copies that run. A service of jobs is ready when a target can take them; how it
    stands on AWS is in `targets`, by name."""
    there = manager.rollouts.states(one.name)
    found = _copies(manager, one) or _jobs(manager, one, there)
    if there:
        found["targets"] = {name: _rollout(*told) for name, told in there.items()}
    return found


def _copies(manager: Manager, one: Deployed) -> dict[str, Any] | None:
    """As its copies are doing, None where there are none."""
    servers = _servers(manager, one)
    if servers is None:
        return None
    try:
        status = servers.status(one.name)
    except TemporaryError as error:
        return _told("unavailable", one, reason=error.message)
    return None if status.resource_kind == "unavailable" else shown(status)


def _jobs(
    manager: Manager, one: Deployed, there: Mapping[str, tuple[State, str]]
) -> dict[str, Any]:
    """A service that is on some of its targets is ready, or degraded when another has failed."""
    failed = [f"{name}: {why}" for name, (state, why) in there.items() if state == "failed"]
    waits = [f"{name}: {why}" for name, (state, why) in there.items() if state == "pending"]
    if manager.places.ranking(one):
        return _told("degraded" if failed else "ready", one, reason="; ".join(failed))
    if waits or failed:
        return _told("pending" if waits else "failed", one, reason="; ".join(waits or failed))
    return _told("unavailable", one)


def _rollout(state: State, why: str) -> dict[str, str]:
    return {"state": state, **({"reason": why} if why else {})}


def shown(status: DeploymentStatus) -> dict[str, Any]:
    """A status as clients get it: what is not known is left out."""
    found = {
        "state": status.state,
        "reason": status.reason,
        "last_transition_time": status.last_transition_time,
        "active_instances": status.active_instances,
        "affected_instances": status.affected_instances,
        "resource_kind": status.resource_kind,
    }
    return {name: value for name, value in found.items() if value != ""}


def log(manager: Manager, one: Deployed, *, timestamps: bool, tail: int) -> dict[str, Any]:
    """The last lines of the copies; not available for a service that has none."""
    servers = _servers(manager, one)
    if servers is None or servers.status(one.name).resource_kind == "unavailable":
        return {
            "service_name": one.name,
            "available": False,
            "message": _NO_COPIES,
            "entries": [],
        }
    entries = [
        {"timestamp": time, "message": text} if timestamps else {"message": text}
        for time, text in servers.logs(one.name, tail)
    ]
    return {"service_name": one.name, "available": True, "entries": entries}


def change(manager: Manager, one: Deployed, what: Change) -> dict[str, Any]:
    """Start, stop or restart an exposed service; how it stands then. Refused (400) for others."""
    servers = _servers(manager, one)
    if not is_exposed(one) or servers is None:
        raise Refused(400, f"the service {one.name} is not exposed")
    try:
        if what == "start":
            return shown(servers.start(one.service))
        if what == "stop":
            return shown(servers.stop(one.name))
        return shown(servers.restart(one.name, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")))
    except PermanentError as error:
        raise Refused(400, error.message) from error


def _servers(manager: Manager, one: Deployed) -> Servers | None:
    for name in manager.places.ranking(one):
        target = manager.parts.targets[name]
        if isinstance(target, _HasServers):
            return target.servers
    return None


def _told(state: str, one: Deployed, reason: str = "") -> dict[str, Any]:
    return {
        "state": state,
        **({"reason": reason} if reason else {}),
        "active_instances": 0,
        "affected_instances": 0,
        "resource_kind": "exposed_service" if is_exposed(one) else "knative_service",
    }
