"""Events of every source, decoded into one type."""

from bridge.events.model import Event, EventKind, job_id

__all__ = ["Event", "EventKind", "job_id"]
