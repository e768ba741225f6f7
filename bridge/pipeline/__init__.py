"""Services joined by the paths they share: the graph, the routes of objects, and drawings.

`build` makes the graph of a document and refuses cycles. `routes` tells, while jobs run, which
services an object starts, and which notifications its bucket must send.
"""

from bridge.pipeline._draw import as_json, dot, mermaid
from bridge.pipeline._graph import build
from bridge.pipeline._paths import RESERVED_PREFIX, storage_of
from bridge.pipeline._routes import Routes, routes
from bridge.pipeline.model import (
    Certainty,
    Crossing,
    Edge,
    End,
    Note,
    NotificationRule,
    Pipeline,
    Stage,
)

__all__ = [
    "RESERVED_PREFIX",
    "Certainty",
    "Crossing",
    "Edge",
    "End",
    "Note",
    "NotificationRule",
    "Pipeline",
    "Routes",
    "Stage",
    "as_json",
    "build",
    "dot",
    "mermaid",
    "routes",
    "storage_of",
]
