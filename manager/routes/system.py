"""`/health`, `/system/info`, `/system/config`, `/system/status`."""

from __future__ import annotations

import platform
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response

from bridge import __version__
from bridge.errors import UsageError
from bridge.secret import Secret
from manager._http import JSON_BODY, json_answer, object_of, text_answer
from manager._json import folded
from manager.auth import Caller, Refused
from manager.core import Manager
from manager.gate import Gate
from manager.status import status
from manager.volumes import held

__all__ = ["router"]

_NO_KEY: Final = Secret("")


def router(manager: Manager, gate: Gate) -> APIRouter:
    """See the module."""
    routes = APIRouter(tags=["system"])
    for part in (_told, _configured):
        part(routes, manager, gate)
    return routes


def _told(routes: APIRouter, manager: Manager, gate: Gate) -> None:
    @routes.get("/health", response_class=PlainTextResponse)
    async def health() -> Response:
        """Whether the manager answers. It asks for no thread: whoever looks after us must not take
        us for dead when all of them are busy."""
        return text_answer("Ok")

    @routes.get("/system/info")
    def info(caller: Caller = gate.user) -> Response:
        """Which manager this is."""
        machine = platform.machine()
        found: dict[str, Any] = {
            "version": __version__,
            "git_commit": "",
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
            "kubernetes_version": "",
        }
        if manager.settings.serverless:
            found["serverless_backend"] = {"name": "Knative", "version": ""}
        return json_answer(found)

    @routes.get("/system/status")
    def how(caller: Caller = gate.user) -> Response:
        """How much room there is, and how many jobs."""
        return json_answer(status(manager, caller))


def _configured(routes: APIRouter, manager: Manager, gate: Gate) -> None:
    @routes.get("/system/config")
    def config(caller: Caller = gate.user) -> Response:
        """What a client must know, the caller's own keys of the object store included."""
        found = {"config": _described(manager), "minio_provider": _store(manager, caller)}
        return json_answer(found | {"allowed_image_repositories": manager.allowed_images})

    @routes.put("/system/config", openapi_extra=JSON_BODY)
    async def allow(request: Request, caller: Caller = gate.user) -> Response:
        """Say which repositories images may come from. 401 for everybody but the administrator."""
        if not caller.admin:
            raise Refused(401)
        value = folded(await object_of(request, manager.settings.max_service))
        found = value.get("allowed_image_repositories", [])
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise UsageError("allowed_image_repositories must be a list of texts")
        await run_in_threadpool(manager.allow_images, found)
        return json_answer({"allowed_image_repositories": found})


def _described(manager: Manager) -> dict[str, Any]:
    settings = manager.settings
    found: dict[str, Any] = {
        "name": settings.name,
        "namespace": settings.namespace,
        "services_namespace": settings.services_namespace,
        "controller_service_account": settings.service_account,
        "gpu_available": any(spec.gpu for spec in manager.specs),
        "interLink_available": False,
    }
    found |= {"serverless_backend": settings.serverless} if settings.serverless else {}
    groups = list(settings.oidc.groups) if settings.oidc else []
    return found | {
        "yunikorn_enable": False,
        "kueue_enable": False,
        "volume_enable": held(manager.parts.targets.values()) is not None,
        "oidc_groups": groups,
        "minio_quota_enabled": True,
    }


def _store(manager: Manager, caller: Caller) -> dict[str, Any]:
    """The object store, with the caller's own keys."""
    own, keys = manager.parts.buckets.provider()[0], manager.accounts.of_user(caller)
    return {
        "endpoint": str(own["endpoint"]),
        "verify": bool(own["verify"]),
        "access_key": keys.get("access_key", _NO_KEY).reveal(),
        "secret_key": keys.get("secret_key", _NO_KEY).reveal(),
        "region": str(own["region"]),
    }
