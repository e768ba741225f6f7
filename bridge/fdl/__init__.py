"""FDL: its grammar, what it means, and what is wrong with a file."""

from bridge.fdl._document import parse
from bridge.fdl._dump import dump
from bridge.fdl._load import load
from bridge.fdl._schema import schema
from bridge.fdl.limits import Limit, fargate_sizes, limits
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
    "limits",
    "load",
    "parse",
    "schema",
]
