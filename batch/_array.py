"""The event of one child of an array job whose children are jobs of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping

from batch._place import Place
from bridge.errors import EventError
from bridge.supervisor import load_event
from bridge.supervisor.stores import StoreFactory


def array_event(environ: Mapping[str, str], place: Place, s3: StoreFactory, folder: str) -> bytes:
    """What stands under the child's number below BRIDGE_ARRAY_URL, BRIDGE_ARRAY_PAGE to an object.

    EventError when there is nothing, and what the store raises. `folder` is for short-lived files.
    """
    size, child = environ.get("BRIDGE_ARRAY_PAGE", ""), place.child
    if child is None or not size.isdecimal() or not int(size):
        raise EventError("BRIDGE_ARRAY_URL needs BRIDGE_ARRAY_PAGE and the number of a child")
    page, number = divmod(child, int(size))
    url = f"{environ['BRIDGE_ARRAY_URL']}{page}.json"
    try:
        entry = json.loads(load_event({"BRIDGE_EVENT_URL": url}, s3, folder))[number]
    except (ValueError, IndexError, TypeError) as error:
        raise EventError(f"{url} has no event for child {child}: {error}") from error
    if isinstance(entry, dict) and isinstance(entry.get("event_url"), str):
        return load_event({"BRIDGE_EVENT_URL": entry["event_url"]}, s3, folder)
    return json.dumps(entry).encode()
