"""Events of every source, decoded into one type; and what is made of them on the way to a script.

`decode` is the way in. `delegated` and `envelope` carry an event with its job to a place (see the
job contract). `file_name`, `payload` and `original` say what the script gets. `s3_record` and
`minio_record` build the bodies that the stores would send.
"""

from bridge.events._build import minio_record, s3_record
from bridge.events._decode import decode
from bridge.events._envelope import (
    Envelope,
    delegated,
    envelope,
    original,
    payload,
    trace_of,
)
from bridge.events._names import file_name
from bridge.events.model import Event, EventKind, job_id, job_prefix

__all__ = [
    "Envelope",
    "Event",
    "EventKind",
    "decode",
    "delegated",
    "envelope",
    "file_name",
    "job_id",
    "job_prefix",
    "minio_record",
    "original",
    "payload",
    "s3_record",
    "trace_of",
]
