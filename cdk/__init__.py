"""The CDK app and its constructs: FDL in, stacks out.

    settings = Settings.read({"fdl": "services.yaml"})
    selection = select(load(settings.fdl), region)
    facts = gather(account, settings, selection.buckets())
    build_app(selection, settings, facts, images={}).synth()

`BridgeBase`, `BridgeService` and `BridgeBuckets` are constructs for others' stacks; `wanted` makes
the values that they take. What needs aws_cdk is loaded when it is first used, because that takes
seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cdk.facts import Facts, gather
from cdk.names import Base
from cdk.selection import Selection, select
from cdk.settings import Settings
from cdk.wanted import Wanted, wanted

if TYPE_CHECKING:
    from cdk.app import build_app
    from cdk.base import BridgeBase
    from cdk.buckets import BridgeBuckets
    from cdk.service import BridgeService
    from cdk.stacks import BaseStack, FileStack

__all__ = [
    "Base",
    "BaseStack",
    "BridgeBase",
    "BridgeBuckets",
    "BridgeService",
    "Facts",
    "FileStack",
    "Selection",
    "Settings",
    "Wanted",
    "build_app",
    "gather",
    "select",
    "wanted",
]

_HOMES = {
    "BaseStack": "stacks",
    "BridgeBase": "base",
    "BridgeBuckets": "buckets",
    "BridgeService": "service",
    "FileStack": "stacks",
    "build_app": "app",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
