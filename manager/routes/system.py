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
    settings = manager.settings

    def described() -> dict[str, Any]:
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

    @routes.get("/health", response_class=PlainTextResponse)
    def health() -> Response:
        """Whether the manager answers."""
        return text_answer("Ok")

    @routes.get("/system/info")
    def info(caller: Caller = gate.user) -> Response:
        """Which manager this is."""
        found: dict[str, Any] = {
            "version": __version__,
            "git_commit": "",
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(
                platform.machine(), platform.machine()
            ),
            "kubernetes_version": "",
        }
        if settings.serverless:
            found["serverless_backend"] = {"name": "Knative", "version": ""}
        return json_answer(found)

    @routes.get("/system/config")
    def config(caller: Caller = gate.user) -> Response:
        """What a client must know, the caller's own keys of the object store included."""
        own, keys = manager.parts.buckets.provider()[0], manager.accounts.of_user(caller)
        minio = {
            "endpoint": str(own["endpoint"]),
            "verify": bool(own["verify"]),
            "access_key": keys.get("access_key", _NO_KEY).reveal(),
            "secret_key": keys.get("secret_key", _NO_KEY).reveal(),
            "region": str(own["region"]),
        }
        found = {"config": described(), "minio_provider": minio}
        return json_answer(found | {"allowed_image_repositories": manager.allowed_images})

    @routes.put("/system/config", openapi_extra=JSON_BODY)
    async def allow(request: Request, caller: Caller = gate.user) -> Response:
        """Say which repositories images may come from. 401 for everybody but the administrator."""
        if not caller.admin:
            raise Refused(401)
        value = folded(await object_of(request, settings.max_service))
        found = value.get("allowed_image_repositories", [])
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise UsageError("allowed_image_repositories must be a list of texts")
        await run_in_threadpool(manager.allow_images, found)
        return json_answer({"allowed_image_repositories": found})

    @routes.get("/system/status")
    def how(caller: Caller = gate.user) -> Response:
        """How much room there is, and how many jobs."""
        return json_answer(status(manager, caller))

    return routes
