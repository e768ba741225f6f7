"""FDL: its grammar, what it means, and what is wrong with a file.

Names are loaded when they are first used: a command that reads no file does not pay for the
grammar, and most rooms only need the model.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Not lazy: the function shares its name with the module, and must win.
from bridge.fdl.limits import Limit, fargate_sizes, limits

if TYPE_CHECKING:
    from bridge.fdl._document import from_value, parse
    from bridge.fdl._dump import dump
    from bridge.fdl._load import load
    from bridge.fdl._oscar import spelled_service
    from bridge.fdl._schema import schema
    from bridge.fdl.model import (
        Cluster,
        Document,
        ExecutionMode,
        Origin,
        Place,
        Placement,
        ProviderRef,
        ProviderType,
        Resources,
        Service,
        StoragePath,
        StorageProvider,
        TargetKind,
        TargetSpec,
    )
    from bridge.fdl.options import AwsOptions, OscarOptions

__all__ = [
    "AwsOptions",
    "Cluster",
    "Document",
    "ExecutionMode",
    "Limit",
    "Origin",
    "OscarOptions",
    "Place",
    "Placement",
    "ProviderRef",
    "ProviderType",
    "Resources",
    "Service",
    "StoragePath",
    "StorageProvider",
    "TargetKind",
    "TargetSpec",
    "dump",
    "fargate_sizes",
    "from_value",
    "limits",
    "load",
    "parse",
    "schema",
    "spelled_service",
]

_HOMES = {
    "AwsOptions": "options",
    "OscarOptions": "options",
    "dump": "_dump",
    "from_value": "_document",
    "load": "_load",
    "parse": "_document",
    "schema": "_schema",
    "spelled_service": "_oscar",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'model')}"), name)
    globals()[name] = value
    return value
