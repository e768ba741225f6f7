"""How a service stands: the summary that clients show beside it."""

from __future__ import annotations

from typing import Any

from bridge.fdl.options import OscarOptions
from manager.core import Manager
from manager.service import Deployed

__all__ = ["summary"]


def summary(manager: Manager, one: Deployed) -> dict[str, Any]:
    """State, and copies that run. A service of jobs is ready when a target can take them."""
    options = one.service.options
    assert isinstance(options, OscarOptions)
    exposed = options.expose is not None and bool(options.expose.api_port)
    ready = bool(manager.ranking(one))
    return {
        "state": "ready" if ready else "unavailable",
        "active_instances": 0,
        "affected_instances": 0,
        "resource_kind": "exposed_service" if exposed else "knative_service",
    }
