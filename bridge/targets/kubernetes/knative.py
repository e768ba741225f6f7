"""A cluster as a target that also answers: jobs as Jobs, synchronous calls over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from bridge.errors import NotFoundError, TargetUnavailable
from bridge.fdl.model import ProviderRef, Service, TargetSpec
from bridge.secret import Secret
from bridge.targets.calls import Address, call
from bridge.targets.kubernetes._exposed import Routing
from bridge.targets.kubernetes._sync import notes
from bridge.targets.kubernetes.connection import Connection
from bridge.targets.kubernetes.resources import KNATIVE_SERVICES
from bridge.targets.kubernetes.servers import Servers
from bridge.targets.kubernetes.target import KubernetesTarget
from bridge.targets.protocol import Reply
from bridge.targets.render import ProviderAccess

__all__ = ["KnativeTarget", "call_notes"]

_PORT: Final = 80
_NO_TOKENS: Final[Mapping[str, Secret]] = MappingProxyType({})


def call_notes(connection: Connection, services: Sequence[Service]) -> list[str]:
    """What a plan says of these services' synchronous calls on a cluster, one sentence each."""
    knative = connection.serves(KNATIVE_SERVICES)
    return [one for each in services for one in notes(each, knative=knative)]


class KnativeTarget(KubernetesTarget):
    """A KubernetesTarget whose services have copies that answer HTTP.

    An exposed service has its own server, any other the runtime's: as a Service of Knative, or
    where the cluster has none as a Deployment. `servers` is for their day two. `routing` says how
    exposed services are reached; `tokens` has the token of each service, for `set_auth`, before it
    is deployed.
    """

    def __init__(
        self,
        spec: TargetSpec,
        connection: Connection,
        access: Mapping[ProviderRef, ProviderAccess],
        *,
        routing: Routing | None = None,
        tokens: Mapping[str, Secret] = _NO_TOKENS,
    ) -> None:
        super().__init__(spec, connection, access)
        self._addresses: dict[str, Address] = {}
        self.servers = Servers(
            connection,
            access,
            runtime_image=lambda: self.runtime_image,
            routing=routing or Routing(),
            tokens=tokens,
        )

    def deploy(self, services: Sequence[Service]) -> None:
        """See `Target.deploy`; returns before the copies are ready."""
        super().deploy(services)
        for service in services:
            self.servers.deploy(service)

    def remove(self, services: Sequence[str]) -> None:
        """See `Target.remove`."""
        for name in services:
            self._addresses.pop(name, None)
            self.servers.remove(name)
        super().remove(services)

    def invoke(
        self,
        service: str,
        body: bytes | Iterator[bytes],
        headers: Mapping[str, str],
        timeout: float,
        *,
        query: str = "",
        gone: Callable[[], bool] | None = None,
    ) -> Reply:
        """See `Invokes.invoke`. A service without a copy gets its first one."""
        address = self._addresses.get(service) or self._address(service)
        self._addresses[service] = address
        try:
            return call(
                address,
                body,
                headers,
                timeout,
                query=query,
                gone=gone,
                cold=lambda: self.servers.wake(service),
            )
        except TargetUnavailable:
            # It may have been made again, with another address.
            self._addresses.pop(service, None)
            raise

    def _address(self, service: str) -> Address:
        found = self.servers.front(service)
        if found is None:
            raise NotFoundError(
                f"service {service} does not answer synchronous calls on {self.spec.name}",
                hint="deploy it there; an exposed service is reached by its own address",
            )
        if self.servers.knative:
            return self._of_knative(service, found)
        return Address(str(found["spec"]["clusterIP"]), _PORT, service)

    def _of_knative(self, service: str, found: Mapping[str, Any]) -> Address:
        """Knative's own name of the service, asked for at the gateway where one is set."""
        url = ((found.get("status") or {}).get("address") or {}).get("url")
        if not url:
            raise TargetUnavailable(f"service {service} has no address yet on {self.spec.name}")
        name = urlsplit(url).hostname or ""
        gateway = urlsplit(self.connection.settings.gateway)
        if gateway.hostname:
            return Address(gateway.hostname, gateway.port or _PORT, name)
        return Address(name, _PORT, name)
