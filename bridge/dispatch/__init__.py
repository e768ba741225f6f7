"""The durable queue: an event is committed before it is acknowledged, and then it happens.

`SqliteStore` keeps the state (`SqlStore` in another database), `Dispatcher` does the work: accept →
place → submit → watch → retry. `bridge.dispatch.testing` has a target in memory.
"""

from bridge.dispatch.engine import Dispatcher
from bridge.dispatch.listed import ListedSource
from bridge.dispatch.model import (
    Accepted,
    Attempt,
    Change,
    Expected,
    Ignored,
    IngestResult,
    JobDetail,
    JobEvent,
    JobRecord,
    NewJob,
    Output,
    Refusal,
    Usage,
)
from bridge.dispatch.protocol import (
    Decide,
    Forgets,
    JobStore,
    Listing,
    Notifies,
    Place,
    Routes,
)
from bridge.dispatch.settings import Settings
from bridge.dispatch.store import SqliteStore, SqlStore

__all__ = [
    "Accepted",
    "Attempt",
    "Change",
    "Decide",
    "Dispatcher",
    "Expected",
    "Forgets",
    "Ignored",
    "IngestResult",
    "JobDetail",
    "JobEvent",
    "JobRecord",
    "JobStore",
    "ListedSource",
    "Listing",
    "NewJob",
    "Notifies",
    "Output",
    "Place",
    "Refusal",
    "Routes",
    "Settings",
    "SqlStore",
    "SqliteStore",
    "Usage",
]
