"""What a service's file says of where its jobs may run, and what is left of its deadline."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from bridge.fdl.model import Service


def constraints(service: Service) -> dict[str, Any]:
    """The pin, the mode, the timeout, what a job needs, and the `placement` block.

    What is not given is left out. Sizes in bytes, times in seconds, money as text in USD.
    """
    found: dict[str, Any] = {
        "pin": service.pin,
        "execution_mode": service.execution_mode,
        "timeout": service.timeout,
        "resources": _said(service.resources),
        **_said(service.placement),
    }
    return {name: value for name, value in found.items() if value not in ("", None)}


def in_time(service: Service, gone: float) -> Service:
    """The service with what is left of its deadline when so many seconds are gone."""
    placement = service.placement
    if placement.deadline is None:
        return service
    left = max(0.0, placement.deadline - gone)
    return replace(service, placement=replace(placement, deadline=left))


def _said(block: Any) -> dict[str, Any]:
    """The fields that differ from their defaults."""
    return {
        field.name: _plain(value)
        for field in dataclasses.fields(block)
        if field.name != "place" and (value := getattr(block, field.name)) not in (None, "", 0)
        if not hasattr(value, "__len__") or value
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
