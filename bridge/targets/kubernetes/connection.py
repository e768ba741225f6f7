"""The way to one cluster's API server: plain mappings go in and come out, errors are ours.

The official client reads the kubeconfig, renews credentials and keeps the connections; its models
are left out, because making them takes longer than the API server does.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from bridge.errors import NotFoundError, PermanentError
from bridge.targets.kubernetes._access import Access, load
from bridge.targets.kubernetes._errors import AlreadyThere, Call, Stranger
from bridge.targets.kubernetes.resources import PODS, VOLUME_CLAIMS, Resource, resource_of
from bridge.targets.kubernetes.settings import ClusterSettings

if TYPE_CHECKING:
    from bridge.targets.kubernetes._transport import Stream, Transport

__all__ = ["MANAGED_BY", "MANAGER", "SERVICE", "AlreadyThere", "Connection", "is_ours"]

MANAGER: Final = "oscar-bridge"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
#: Label: the service that an object is of; upstream's.
SERVICE: Final = "oscar_service"
_OURS: Final = f"{MANAGED_BY}={MANAGER}"
_PAGE: Final = 500
_LOG_SECONDS: Final = 60.0
_MERGE: Final = "application/merge-patch+json"
_APPLY: Final = "application/apply-patch+yaml"
_BACKGROUND: Final = {"propagationPolicy": "Background"}
_Answer = TypeVar("_Answer")
_METHODS: Final = {
    "create": "POST",
    "delete": "DELETE",
    "deletecollection": "DELETE",
    "get": "GET",
    "list": "GET",
    "patch": "PATCH",
}


class Connection:
    """Calls to one cluster. Safe to use from several threads; nothing is asked when it is made.

    Every method raises NotFoundError, AccessError (which verb on which resource in which
    namespace), PermanentError, or TargetUnavailable when trying again may help. `namespace` is the
    settings'; methods take another one, which "" makes all namespaces of. A `folder` gets the keys
    that the kubeconfig has in itself; whoever made it removes it after `close`.
    """

    def __init__(self, settings: ClusterSettings, *, folder: Path | None = None) -> None:
        self.settings = settings
        self._folder = folder
        self._lock = threading.Lock()
        self._loaded: tuple[Access, Transport] | None = None

    @property
    def namespace(self) -> str:
        """Where the objects of services are."""
        return self.settings.namespace or self._access.namespace

    @property
    def name(self) -> str:
        """What messages call this cluster: the context's name, else the server's address."""
        return self._access.name

    @property
    def _access(self) -> Access:
        return self._ready()[0]

    def _ready(self) -> tuple[Access, Transport]:
        with self._lock:
            if self._loaded is None:
                access = load(self.settings, self._folder)
                from bridge.targets.kubernetes._transport import Transport

                self._loaded = (access, Transport(access))
            return self._loaded

    def _with(self, ask: Callable[[Access, Transport], _Answer]) -> _Answer:
        """Ask; once more when the server does not know us, as what says who we are may have been
        renewed on disk since it was read."""
        loaded = self._ready()
        try:
            return ask(*loaded)
        except Stranger:
            with self._lock:
                if self._loaded is loaded:
                    self._loaded = None
            return ask(*self._ready())

    def close(self) -> None:
        """Close idle connections; the next call opens one again."""
        if self._loaded is not None:
            self._loaded[1].close()

    # --- objects ----------------------------------------------------------------------------

    def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> dict[str, Any]:
        """One object."""
        return self._ask("get", resource, name=name, namespace=namespace)

    def find(
        self, resource: Resource, name: str, *, namespace: str | None = None
    ) -> dict[str, Any] | None:
        """One object, None when it is not there."""
        try:
            return self.get(resource, name, namespace=namespace)
        except NotFoundError:
            return None

    def find_all(
        self,
        resource: Resource,
        *,
        labels: str = "",
        fields: str = "",
        namespace: str | None = None,
    ) -> list[dict[str, Any]]:
        """All objects that fit the selectors."""
        pages = self.pages(resource, labels=labels, fields=fields, namespace=namespace)
        return [one for items, _ in pages for one in items]

    def pages(
        self,
        resource: Resource,
        *,
        labels: str = "",
        fields: str = "",
        namespace: str | None = None,
    ) -> Iterator[tuple[list[dict[str, Any]], str]]:
        """The same in pages, each with the resource version to watch from after the last one.

        Gone when the server forgot the list between two pages.
        """
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": str(_PAGE)}
        while True:
            answer = self._ask("list", resource, namespace=namespace, query=query)
            facts = answer.get("metadata") or {}
            yield answer.get("items") or [], str(facts.get("resourceVersion", ""))
            if not facts.get("continue"):
                return
            query["continue"] = facts["continue"]

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Make the object of a manifest; the answer is what the server made of it.

        AlreadyThere when there is one of that name.
        """
        resource, namespace = resource_of(manifest), manifest["metadata"].get("namespace")
        name = str(manifest["metadata"].get("name", ""))
        return self._ask("create", resource, name=name, namespace=namespace, body=manifest)

    def apply(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Make the object of a manifest, or change it to that: what we set before and is not in
        the manifest any more goes away.

        PermanentError when what is there is not ours (by `app.kubernetes.io/managed-by`), or is of
        another service, whose name and a suffix make the same; only a volume may be of several.
        """
        resource, facts = resource_of(manifest), manifest["metadata"]
        namespace, name = facts.get("namespace"), str(facts["name"])
        found = self.find(resource, name, namespace=namespace)
        service = (facts.get("labels") or {}).get(SERVICE, "")
        if found is not None and not is_ours(found, "" if resource == VOLUME_CLAIMS else service):
            raise PermanentError(
                f"{resource.kind} {name} in namespace {namespace or self.namespace} of cluster"
                f" {self.name} exists and is not of {MANAGER}, or of another service",
                hint="give the service another name, or another namespace to the target",
            )
        query = {"fieldManager": MANAGER, "force": "true"}
        return self._ask(
            "patch",
            resource,
            name=name,
            namespace=namespace,
            query=query,
            body=manifest,
            content=_APPLY,
        )

    def patch(
        self,
        resource: Resource,
        name: str,
        body: Mapping[str, Any],
        *,
        sub: str = "",
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Change parts of an object (a JSON merge patch), or of its `sub`: `status`, `scale`."""
        return self._ask(
            "patch", resource, name=name, sub=sub, namespace=namespace, body=body, content=_MERGE
        )

    def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str | None = None,
        foreground: bool = False,
        only: Mapping[str, Any] | None = None,
    ) -> bool:
        """Delete an object and what it owns; False when it was not there.

        With `foreground` it stays, marked as deleted, until what it owns is gone. `only` is its
        metadata as they were seen: where it has changed since, TemporaryError, and it stays.
        """
        body: dict[str, Any] = {"propagationPolicy": "Foreground" if foreground else "Background"}
        if only is not None:
            body["preconditions"] = {key: only[key] for key in ("uid", "resourceVersion")}
        try:
            self._ask("delete", resource, name=name, namespace=namespace, body=body)
        except NotFoundError:
            return False
        return True

    def delete_all(self, resource: Resource, labels: str, *, namespace: str | None = None) -> None:
        """Delete every object of ours that fits the selector, and what they own."""
        query = {"labelSelector": f"{_OURS},{labels}"}
        self._ask("deletecollection", resource, namespace=namespace, query=query, body=_BACKGROUND)

    def serves(self, resource: Resource) -> bool:
        """Whether the cluster has this kind of object."""
        try:
            answer = self.raw(resource.base)
        except NotFoundError:
            return False
        return any(one.get("name") == resource.plural for one in answer.get("resources") or ())

    def version(self) -> str:
        """The API server's version, such as `v1.33.2`."""
        return str(self.raw("/version").get("gitVersion", ""))

    def raw(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON object at a path, such as `/version` or `/apis/metrics.k8s.io/v1beta1/nodes`."""
        answer = self._with(
            lambda access, transport: transport.ask(
                Call("get", path, access.name), "GET", path, query=query
            )
        )
        return dict(json.loads(answer))

    # --- streams ----------------------------------------------------------------------------

    def watch(self, resource: Resource, version: str, *, labels: str, timeout: float) -> Stream:
        """Changes since a resource version as JSON lines, for at most `timeout` seconds."""
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "labelSelector": labels,
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, int(timeout))),
        }
        place = self.namespace
        return self._with(
            lambda access, transport: transport.open(
                Call("watch", str(resource), access.name, place),
                resource.path(place),
                query,
                1.5 * timeout,
            )
        )

    def log(
        self,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        timestamps: bool = False,
        tail: int | None = None,
        namespace: str | None = None,
    ) -> Stream:
        """The log of a container as lines, the last `tail` of them; with `follow` until it ends."""
        place = self.namespace if namespace is None else namespace
        query = {"container": container}
        query |= {"follow": "true"} if follow else {}
        query |= {"timestamps": "true"} if timestamps else {}
        query |= {"tailLines": str(tail)} if tail is not None else {}
        return self._with(
            lambda access, transport: transport.open(
                Call("get", "pods/log", access.name, place, pod),
                PODS.path(place, pod, "log"),
                query,
                None if follow else _LOG_SECONDS,
            )
        )

    def _ask(
        self,
        verb: str,
        resource: Resource,
        *,
        namespace: str | None = None,
        name: str = "",
        sub: str = "",
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
    ) -> dict[str, Any]:
        place = self.namespace if namespace is None else namespace
        if not resource.namespaced:
            place = ""
        what = f"{resource}/{sub}" if sub else str(resource)
        path = resource.path(place, "" if verb == "create" else name, sub)
        answer = self._with(
            lambda access, transport: transport.ask(
                Call(verb, what, access.name, place, name),
                _METHODS[verb],
                path,
                query=query,
                body=body,
                content=content,
            )
        )
        return dict(json.loads(answer))


def is_ours(found: Mapping[str, Any], service: str = "") -> bool:
    """Whether an object carries the label of what this program makes, and that of the service."""
    labels = found.get("metadata", {}).get("labels") or {}
    return bool(labels.get(MANAGED_BY) == MANAGER and service in ("", labels.get(SERVICE)))
