"""A service that is a server of its own: its objects, as plain mappings; pure.

Upstream's names: Deployment `<svc>-dpl`, Service `<svc>-svc`, autoscaler `<svc>-hpa`, and as the
way in from outside an Ingress `<svc>-ing` or a route of the Gateway API `<svc>-route`.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.errors import PermanentError
from bridge.fdl.model import ProviderRef, Service
from bridge.fdl.options import Expose
from bridge.secret import Secret
from bridge.targets.kubernetes._apr1 import apr1
from bridge.targets.kubernetes._names import object_name, options_of, service_labels
from bridge.targets.kubernetes._pod import CONFIG, RUNTIME, main_container, pod_spec
from bridge.targets.kubernetes._sync import PART, scaler
from bridge.targets.kubernetes.resources import (
    DEPLOYMENTS,
    HTTP_ROUTES,
    INGRESSES,
    MIDDLEWARES,
    SCALERS,
    SECRETS,
    SERVICES,
    Resource,
)
from bridge.targets.kubernetes.settings import ClusterSettings
from bridge.targets.render import ProviderAccess

__all__ = [
    "Routing",
    "auth_name",
    "base_path",
    "deployment_name",
    "expose_of",
    "exposed_manifests",
    "object_names",
    "scaler_name",
]

_EXPOSED: Final = "exposed"
_SCRIPT: Final = f"{CONFIG}/script.sh"
_FIRST_PORT: Final = 80
_NGINX: Final = "nginx.ingress.kubernetes.io"
_CONFIGURED: Final = "oscar-bridge/configured"


@dataclass(frozen=True, slots=True)
class Routing:
    """How exposed services are reached from outside of a cluster.

    With `gateway` (`name` or `namespace/name`) by a route of the Gateway API, whose requests
    Traefik's middlewares authenticate; else by an Ingress of `ingress_class`. `host` is the name
    that is asked for ("" for any). `manager_url` is where the manager is inside the cluster, for
    `auth_type: forward`. `origin` is which web pages may read answers (CORS).
    """

    host: str = ""
    ingress_class: str = "nginx"
    gateway: str = ""
    manager_url: str = "http://oscar.oscar:8080"
    origin: str = "*"


def expose_of(service: Service) -> Expose | None:
    """What the file says of a service that is a server; None for any other."""
    expose = options_of(service).expose
    return expose if expose is not None and expose.api_port else None


def deployment_name(service: str) -> str:
    """Name of the Deployment; upstream's."""
    return object_name(service, "-dpl")


def scaler_name(service: str) -> str:
    """Name of the autoscaler; upstream's."""
    return object_name(service, "-hpa")


def auth_name(service: str) -> str:
    """Name of the Secret with who may come in; upstream's."""
    return object_name(service, "-auth-expose")


def object_names(service: str) -> list[tuple[Resource, str]]:
    """All objects that an exposed service may have, in the order to delete them."""
    return [
        (INGRESSES, object_name(service, "-ing")),
        (HTTP_ROUTES, object_name(service, "-route")),
        (MIDDLEWARES, object_name(service, "-auth")),
        (SECRETS, auth_name(service)),
        (SCALERS, scaler_name(service)),
        (SERVICES, object_name(service, "-svc")),
        (DEPLOYMENTS, deployment_name(service)),
    ]


def base_path(service: str) -> str:
    """The path under which a service is reached from outside."""
    return f"/system/services/{service}/exposed"


def exposed_manifests(
    service: Service,
    settings: ClusterSettings,
    access: Mapping[ProviderRef, ProviderAccess],
    *,
    namespace: str,
    routing: Routing,
    token: Secret | None,
    configured: str,
) -> list[dict[str, Any]]:
    """All objects of an exposed service beside its ConfigMap and Secrets.

    `token` is the password of `set_auth`, with the service's name as user. The number of copies is
    not in the Deployment: it is `min_scale` when it is made, and later the autoscaler's or the
    user's. PermanentError for what the file says and no cluster can have.
    """
    expose = expose_of(service)
    assert expose is not None, f"{service.name} is not exposed"
    _check(service, expose)
    facts = _facts(service, namespace)
    pod = _pod(service, expose, settings, access)
    own = [
        _deployment(service, facts, pod, configured),
        _front(service, expose, facts),
        *scaler(
            facts,
            scaler_name(service.name),
            deployment_name(service.name),
            least=max(1, expose.min_scale),
            most=expose.max_scale,
            percent=expose.cpu_threshold,
        ),
    ]
    if expose.node_port:
        return own
    secret = _auth_secret(service, facts, token) if _asks(expose) == "basic" else []
    if routing.gateway:
        return [*own, *secret, *_route(service, expose, facts, routing)]
    return [*own, *secret, _ingress(service, expose, facts, routing)]


def _check(service: Service, expose: Expose) -> None:
    if expose.node_port and len(expose.node_port) != len(expose.api_port):
        raise PermanentError(
            f"service {service.name}: expose.nodePort has {len(expose.node_port)} ports and"
            f" expose.api_port {len(expose.api_port)}",
            hint="give one node port for each port, or none",
        )
    if expose.auth_type not in ("", "basic", "forward"):
        raise PermanentError(
            f"service {service.name}: expose.auth_type {expose.auth_type!r} is not known",
            hint="use basic or forward",
        )
    for name in options_of(service).annotations:
        if name.startswith(_NGINX) and name.endswith("-snippet"):
            raise PermanentError(
                f"service {service.name}: the annotation {name} would run in the ingress"
                " controller, which serves others too",
                hint="leave it out",
            )


def _asks(expose: Expose) -> str:
    """How a route asks who comes in; "" when it does not."""
    return (expose.auth_type or "basic") if expose.set_auth else ""


def _facts(service: Service, namespace: str) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "labels": {**service_labels(service), PART: _EXPOSED},
        "annotations": dict(options_of(service).annotations),
    }


def _selector(service: Service) -> dict[str, str]:
    return {"app": object_name(f"oscar-svc-exp-{service.name}")}


def _pod(
    service: Service,
    expose: Expose,
    settings: ClusterSettings,
    access: Mapping[ProviderRef, ProviderAccess],
) -> dict[str, Any]:
    """The pod: the service's image alone, as nothing of ours runs in it."""
    pod = pod_spec(
        service,
        settings,
        access,
        runtime_image="",
        command=["/bin/sh", "-c", _SCRIPT],
        variables={"OSCAR_SERVICE_BASE_PATH": base_path(service.name)},
    )
    del pod["initContainers"]
    pod["volumes"] = [one for one in pod["volumes"] if one["name"] != RUNTIME]
    for volume in pod["volumes"]:
        if "configMap" in volume:
            volume["configMap"]["defaultMode"] = 0o777
    container = main_container(pod)
    container["volumeMounts"] = [m for m in container["volumeMounts"] if m["name"] != RUNTIME]
    if expose.default_command:
        del container["command"]
    container |= {
        "ports": [
            {"name": f"port-{number}", "containerPort": port, "protocol": "TCP"}
            for number, port in enumerate(expose.api_port)
        ],
        **_probes(service, expose),
    }
    pod["containers"] = [container]
    return pod


def _probes(service: Service, expose: Expose) -> dict[str, Any]:
    """Three minutes to start, as upstream gives; asked more often, as nothing is served before."""
    path = f"/{expose.health_path.lstrip('/')}"
    if expose.rewrite_target and expose.probe_mode != "direct":
        path = f"{base_path(service.name)}{path}"
    ask = {"httpGet": {"path": path, "port": expose.api_port[0]}, "timeoutSeconds": 5}
    return {
        "startupProbe": {**ask, "periodSeconds": 3, "failureThreshold": 60},
        "readinessProbe": {**ask, "periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**ask, "periodSeconds": 10, "failureThreshold": 12},
    }


def _deployment(
    service: Service, facts: Mapping[str, Any], pod: Mapping[str, Any], configured: str
) -> dict[str, Any]:
    template = {
        "metadata": {
            "labels": {**facts["labels"], **_selector(service)},
            "annotations": {**facts["annotations"], _CONFIGURED: configured},
        },
        "spec": pod,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**facts, "name": deployment_name(service.name)},
        "spec": {"selector": {"matchLabels": _selector(service)}, "template": template},
    }


def _front(service: Service, expose: Expose, facts: Mapping[str, Any]) -> dict[str, Any]:
    ports = []
    for number, port in enumerate(expose.api_port):
        ports.append(
            {
                "name": f"port-{number}",
                "port": _FIRST_PORT + number,
                "targetPort": port,
                "protocol": "TCP",
                **({"nodePort": expose.node_port[number]} if expose.node_port else {}),
            }
        )
    kind = "NodePort" if expose.node_port else "ClusterIP"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**facts, "name": _front_name(service)},
        "spec": {"type": kind, "selector": _selector(service), "ports": ports},
    }


def _front_name(service: Service) -> str:
    return object_name(service.name, "-svc")


def _auth_secret(
    service: Service, facts: Mapping[str, Any], token: Secret | None
) -> list[dict[str, Any]]:
    """The password file, under the keys that nginx and Traefik look for."""
    if token is None or not token.reveal():
        raise PermanentError(
            f"service {service.name}: expose.set_auth needs the service's token",
            hint="deploy it through the manager, which makes one",
        )
    # The salt need not be random: the token is, and an unchanged service stays unchanged.
    salt = hashlib.sha256(service.name.encode()).hexdigest()[:8]
    line = b64encode(f"{service.name}:{apr1(token.reveal(), salt)}".encode()).decode()
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**facts, "name": auth_name(service.name)},
            "type": "Opaque",
            "data": {"auth": line, "users": line},
        }
    ]


def _forward_url(service: Service, routing: Routing) -> str:
    return f"{routing.manager_url.rstrip('/')}/system/services/{service.name}/auth"


def _ingress(
    service: Service, expose: Expose, facts: Mapping[str, Any], routing: Routing
) -> dict[str, Any]:
    base = base_path(service.name)
    own = {
        f"{_NGINX}/use-regex": "true",
        f"{_NGINX}/rewrite-target": f"{base}/$1" if expose.rewrite_target else "/$1",
        f"{_NGINX}/proxy-body-size": "0",
        f"{_NGINX}/enable-cors": "true",
        f"{_NGINX}/cors-allow-origin": routing.origin,
        **_nginx_auth(service, expose, routing),
    }
    backend = {"service": {"name": _front_name(service), "port": {"number": _FIRST_PORT}}}
    path = {
        "path": f"{base}/?(.*)",
        "pathType": "ImplementationSpecific",
        "backend": backend,
    }
    rule: dict[str, Any] = {"http": {"paths": [path]}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            **facts,
            "name": object_name(service.name, "-ing"),
            "annotations": {**facts["annotations"], **own},
        },
        "spec": {
            "ingressClassName": routing.ingress_class,
            "rules": [rule | ({"host": routing.host} if routing.host else {})],
        },
    }


def _nginx_auth(service: Service, expose: Expose, routing: Routing) -> dict[str, str]:
    asks = _asks(expose)
    if asks == "basic":
        return {
            f"{_NGINX}/auth-type": "basic",
            f"{_NGINX}/auth-secret": auth_name(service.name),
            f"{_NGINX}/auth-realm": "Authentication Required",
        }
    return {f"{_NGINX}/auth-url": _forward_url(service, routing)} if asks else {}


def _route(
    service: Service, expose: Expose, facts: Mapping[str, Any], routing: Routing
) -> list[dict[str, Any]]:
    """The route, and the middleware that asks who comes in."""
    filters: list[dict[str, Any]] = []
    middleware = _middleware(service, expose, facts, routing)
    for one in middleware:
        reference = {"group": "traefik.io", "kind": "Middleware", "name": one["metadata"]["name"]}
        filters.append({"type": "ExtensionRef", "extensionRef": reference})
    if not expose.rewrite_target:
        path = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}
        filters.append({"type": "URLRewrite", "urlRewrite": {"path": path}})
    namespace, _, name = routing.gateway.rpartition("/")
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": base_path(service.name)}}],
        "filters": filters,
        "backendRefs": [{"name": _front_name(service), "port": _FIRST_PORT}],
    }
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {**facts, "name": object_name(service.name, "-route")},
        "spec": {
            "parentRefs": [{"name": name} | ({"namespace": namespace} if namespace else {})],
            **({"hostnames": [routing.host]} if routing.host else {}),
            "rules": [rule],
        },
    }
    return [*middleware, route]


def _middleware(
    service: Service, expose: Expose, facts: Mapping[str, Any], routing: Routing
) -> list[dict[str, Any]]:
    asks = _asks(expose)
    if not asks:
        return []
    spec: dict[str, Any] = {"basicAuth": {"secret": auth_name(service.name)}}
    if asks == "forward":
        spec = {"forwardAuth": {"address": _forward_url(service, routing)}}
    return [
        {
            "apiVersion": "traefik.io/v1alpha1",
            "kind": "Middleware",
            "metadata": {**facts, "name": object_name(service.name, "-auth")},
            "spec": spec,
        }
    ]
