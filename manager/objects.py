"""Which objects of the platform's store a call may name.

A call whose body is a storage event makes the service read that object with the service's keys: who
may call a service must not read with it what he may not see.
"""

from __future__ import annotations

from collections.abc import Mapping

from bridge import events
from bridge.errors import EventError
from manager.access import may_see_bucket
from manager.auth import Caller, Refused
from manager.cloud import MINIO
from manager.core import Manager
from manager.service import Deployed

__all__ = ["check_call"]


def check_call(
    manager: Manager, one: Deployed, caller: Caller, body: bytes, headers: Mapping[str, str]
) -> None:
    """Refused (403) when the body names an object that is no input of the service and that the
    caller may not see. A token of the service may name its inputs only: any caller may have it."""
    if caller.admin:
        return
    try:
        found = events.decode(body, headers=headers)
    except EventError:
        # It is refused as what it is, with its reason, where it is made a job.
        return
    for event in found:
        if event.provider != str(MINIO) or one.name in manager.taken_by(event):
            continue
        row = manager.parts.state.bucket(event.bucket)
        if caller.by_token or not may_see_bucket(caller, row):
            raise Refused(403, f"the bucket {event.bucket} is not yours to see")
