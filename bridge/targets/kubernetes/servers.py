"""The copies of services that answer HTTP: deployed, removed, watched, stopped and started."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from bridge.errors import AccessError, NotFoundError, PermanentError
from bridge.fdl.model import ProviderRef, Service
from bridge.secret import Secret
from bridge.targets.kubernetes._copies import (
    DeploymentStatus,
    copies,
    is_stopped,
    knative_status,
    start_patch,
    status_of,
    stop_patch,
)
from bridge.targets.kubernetes._exposed import (
    Routing,
    deployment_name,
    expose_of,
    exposed_manifests,
    object_names,
    scaler_name,
)
from bridge.targets.kubernetes._manifests import service_manifests
from bridge.targets.kubernetes._names import object_name
from bridge.targets.kubernetes._pod import MAIN
from bridge.targets.kubernetes._sync import (
    PART,
    answers_calls,
    bounds,
    deployment_manifests,
    knative_manifest,
    sync_name,
)
from bridge.targets.kubernetes.connection import SERVICE, Connection, is_ours
from bridge.targets.kubernetes.resources import (
    DEPLOYMENTS,
    HTTP_ROUTES,
    KNATIVE_SERVICES,
    MIDDLEWARES,
    PODS,
    SCALERS,
    SERVICES,
    VOLUME_CLAIMS,
    Resource,
    resource_of,
)
from bridge.targets.render import ProviderAccess

__all__ = ["Servers"]

_RESTARTED: Final = "oscar.grycap.io/restarted-at"
_MOST_LINES: Final = 1000
Named = tuple[Resource, str]

_OPTIONAL: Final = (KNATIVE_SERVICES, HTTP_ROUTES, MIDDLEWARES)


class Servers:
    """Exposed services and copies for synchronous calls on one cluster. Thread-safe.

    `runtime_image` names the image that brings the runtime to copies for synchronous calls.
    `tokens` has the token of each service, for `set_auth`, when it is deployed. Which kinds of
    objects the cluster has is asked once.
    """

    def __init__(
        self,
        connection: Connection,
        access: Mapping[ProviderRef, ProviderAccess],
        *,
        runtime_image: Callable[[], str],
        routing: Routing,
        tokens: Mapping[str, Secret],
    ) -> None:
        self._connection = connection
        self._access = access
        self._runtime_image = runtime_image
        self._routing = routing
        self._tokens = tokens

    @cached_property
    def _has(self) -> frozenset[Resource]:
        return frozenset(one for one in _OPTIONAL if self._connection.serves(one))

    @property
    def knative(self) -> bool:
        """Whether the cluster has Knative."""
        return KNATIVE_SERVICES in self._has

    def deploy(self, service: Service) -> None:
        """Make or change the copies of a service whose ConfigMap and Secrets are there.

        What it had as another sort of service goes away.
        """
        exposed = expose_of(service) is not None
        self._delete(service.name, self._others(service.name, exposed=exposed))
        if exposed:
            self._deploy_exposed(service)
        elif answers_calls(service):
            self._deploy_sync(service)

    def remove(self, service: str) -> None:
        """Delete all that `deploy` has made."""
        self._delete(service, [*_sync_objects(service), *object_names(service)])

    def start(self, service: Service) -> DeploymentStatus:
        """Start an exposed service that was stopped, with the copies that it had."""
        found = self._exposed(service.name)
        expose = expose_of(service)
        if is_stopped(found) and expose is not None:
            patch = start_patch(found, max(1, expose.min_scale))
            self._connection.patch(DEPLOYMENTS, deployment_name(service.name), patch)
            self._deploy_exposed(service)
        return self.status(service.name)

    def stop(self, service: str) -> DeploymentStatus:
        """Stop an exposed service: it has no copy until it is started, whatever is deployed."""
        found = self._exposed(service)
        if not is_stopped(found):
            # First the autoscaler: it would undo the rest.
            self._connection.delete(SCALERS, scaler_name(service))
            self._connection.patch(DEPLOYMENTS, deployment_name(service), stop_patch(found))
        return self.status(service)

    def restart(self, service: str, now: str) -> DeploymentStatus:
        """Replace the copies of an exposed service, one after the other. `now` is RFC 3339."""
        self._exposed(service)
        stamp = {"metadata": {"annotations": {_RESTARTED: now}}}
        patch = {**stamp, "spec": {"template": stamp}}
        self._connection.patch(DEPLOYMENTS, deployment_name(service), patch)
        return self.status(service)

    def status(self, service: str) -> DeploymentStatus:
        """How the copies of a service are doing; `unavailable` for a service that has none here."""
        namespace = self._connection.namespace
        if self.knative and (found := self._own(service, KNATIVE_SERVICES, sync_name(service))):
            return knative_status(service, namespace, found, self._pods(service))
        if found := self._own(service, DEPLOYMENTS, deployment_name(service)):
            return status_of(service, namespace, found, self._pods(service), "exposed_service")
        if found := self._own(service, DEPLOYMENTS, sync_name(service)):
            return status_of(service, namespace, found, self._pods(service), "knative_service")
        return DeploymentStatus(service, namespace, "unavailable", "it has no copies here")

    def logs(self, service: str, tail: int = 200) -> list[tuple[str, str]]:
        """The last lines of all copies, each with its time (RFC 3339), in their order.

        At most 1000. Copies that have not started are left out.
        """
        wanted = max(1, min(tail, _MOST_LINES))
        lines: list[tuple[str, str]] = []
        for pod in self._pods(service):
            lines += self._lines(str(pod["metadata"]["name"]), wanted)
        return sorted(lines, key=lambda line: line[0])[-wanted:]

    def wake(self, service: str) -> None:
        """Give a service its first copy, if it has none."""
        name = sync_name(service)
        found = self._own(service, DEPLOYMENTS, name)
        if found is not None and not found["spec"].get("replicas"):
            self._connection.patch(DEPLOYMENTS, name, {"spec": {"replicas": 1}})

    def front(self, service: str) -> dict[str, Any] | None:
        """The object whose address answers calls of a service: Knative's or the core's Service."""
        resource = KNATIVE_SERVICES if self.knative else SERVICES
        found = self._own(service, resource, sync_name(service))
        return (
            found if found is not None and PART in (found["metadata"].get("labels") or {}) else None
        )

    def _deploy_exposed(self, service: Service) -> None:
        expose = expose_of(service)
        assert expose is not None
        found = self._own(service.name, DEPLOYMENTS, deployment_name(service.name))
        manifests = exposed_manifests(
            service,
            self._connection.settings,
            self._access,
            namespace=self._connection.namespace,
            routing=self._routing,
            token=self._tokens.get(service.name),
            configured=self._configured(service),
        )
        stopped = found is not None and is_stopped(found)
        if stopped:
            manifests = [one for one in manifests if resource_of(one) != SCALERS]
        number = copies(found, max(1, expose.min_scale), expose.max_scale)
        self._put(service.name, manifests, number, object_names(service.name))

    def _deploy_sync(self, service: Service) -> None:
        render = knative_manifest if self.knative else deployment_manifests
        made = render(
            service,
            self._connection.settings,
            self._access,
            namespace=self._connection.namespace,
            runtime_image=self._runtime_image(),
            configured=self._configured(service),
        )
        found = self._own(service.name, DEPLOYMENTS, sync_name(service.name))
        least, most = bounds(service)
        manifests = [made] if isinstance(made, dict) else made
        number = copies(found, least, most)
        self._put(service.name, manifests, number, _sync_objects(service.name))

    def _put(
        self,
        service: str,
        manifests: Sequence[dict[str, Any]],
        replicas: int,
        possible: Sequence[Named],
    ) -> None:
        """Apply the objects, and delete those that the service had and has no more."""
        for one in manifests:
            # Without a number, Kubernetes would make it one.
            more = {"replicas": replicas} if resource_of(one) == DEPLOYMENTS else {}
            self._connection.apply({**one, "spec": {**one["spec"], **more}} if more else one)
        made = {(resource_of(one), one["metadata"]["name"]) for one in manifests}
        self._delete(service, [one for one in possible if one not in made])

    def _configured(self, service: Service) -> str:
        """Changes when the service's ConfigMap or Secrets do: who reads them at its start must
        then start again."""
        made = service_manifests(service, self._access, self._connection.namespace)
        versions = []
        for one in made:
            if resource_of(one) == VOLUME_CLAIMS:
                continue
            found = self._connection.get(resource_of(one), one["metadata"]["name"])["metadata"]
            versions.append(f"{found['uid']} {found['resourceVersion']}")
        return hashlib.sha256("\n".join(versions).encode()).hexdigest()[:16]

    def _exposed(self, service: str) -> dict[str, Any]:
        found = self._own(service, DEPLOYMENTS, deployment_name(service))
        if found is not None:
            return found
        if self.status(service).state == "unavailable":
            raise NotFoundError(
                f"service {service} has no copies on cluster {self._connection.name}"
            )
        raise PermanentError(f"service {service} is not exposed: it cannot be stopped or started")

    def _pods(self, service: str) -> list[dict[str, Any]]:
        return self._connection.find_all(PODS, labels=f"{SERVICE}={object_name(service)},{PART}")

    def _lines(self, pod: str, tail: int) -> Iterator[tuple[str, str]]:
        try:
            stream = self._connection.log(pod, MAIN, timestamps=True, tail=tail)
        except AccessError:
            raise
        except PermanentError:
            # It is gone, or its container has not begun.
            return
        for line in stream:
            time, _, text = line.decode("utf-8", "replace").partition(" ")
            yield time, text

    def _others(self, service: str, *, exposed: bool) -> list[Named]:
        """What the service would have as another sort of service, if there is any of it."""
        other = sync_name(service) if exposed else deployment_name(service)
        if exposed and self.knative:
            return _sync_objects(service)
        there = self._own(service, DEPLOYMENTS, other) is not None
        return (_sync_objects if exposed else object_names)(service) if there else []

    def _own(self, service: str, resource: Resource, name: str) -> dict[str, Any] | None:
        """An object if it is there and the service's: a name alone may be anybody's, also that of
        a service whose own name ends as our names do."""
        found = self._connection.find(resource, name)
        return found if found is not None and is_ours(found, object_name(service)) else None

    def _delete(self, service: str, objects: Sequence[Named]) -> None:
        """Delete those that are there and the service's."""
        for resource, name in objects:
            if resource in _OPTIONAL and resource not in self._has:
                continue
            if self._own(service, resource, name) is not None:
                self._connection.delete(resource, name)


def _sync_objects(service: str) -> list[Named]:
    kinds = (KNATIVE_SERVICES, SCALERS, SERVICES, DEPLOYMENTS)
    return [(resource, sync_name(service)) for resource in kinds]
