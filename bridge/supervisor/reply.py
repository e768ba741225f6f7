"""The body of a synchronous call's answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from bridge.errors import PermanentError
from bridge.events import Event, EventKind

if TYPE_CHECKING:
    from typing import BinaryIO

    from bridge.supervisor._stage import OutputFile

# pathlib is left out: importing it costs the supervisor a tenth of its start.
# ruff: noqa: PTH123, PTH202


class Caller(Protocol):
    """Who waits for the answer of a synchronous call that is too large to be kept in memory."""

    def text(self, block: bytes) -> object:
        """What the script says, as it comes."""
        ...

    def files(self, event: Event, files: Sequence[OutputFile]) -> object:
        """What a script that succeeded has left, once it is staged out; gone after the call."""
        ...


def wants_files(event: Event, files: Sequence[OutputFile]) -> bool:
    """Whether the answer is the files and not the script's text: upstream's rule."""
    return event.kind is EventKind.UNKNOWN and bool(files)


def sync_body(event: Event, files: Sequence[OutputFile], text: bytes, limit: int) -> bytes:
    """What the caller gets: upstream's rule.

    For raw data: no file gives the script's text, one file its base64, more files the base64 of a
    zip with their relative names. For anything else, the text. Raises PermanentError when the
    files are larger than `limit` bytes before they are encoded.
    """
    if not wants_files(event, files):
        return text.decode("utf-8", "ignore").encode()
    import os  # noqa: PLC0415
    from base64 import b64encode  # noqa: PLC0415  few jobs answer with files
    from io import BytesIO  # noqa: PLC0415

    size = sum(os.path.getsize(file.path) for file in files)
    if size > limit:
        raise PermanentError(
            f"the reply would be {size} bytes, the limit is {limit}",
            hint="send large results to an output of the service",
        )
    if len(files) > 1:
        buffer = BytesIO()
        write_zip(files, buffer)
        return b64encode(buffer.getvalue())
    with open(files[0].path, "rb") as file:
        return b64encode(file.read())


def write_zip(files: Sequence[OutputFile], target: BinaryIO) -> None:
    """Write the files, with their relative names, as a zip."""
    from zipfile import ZIP_DEFLATED, ZipFile  # noqa: PLC0415  few jobs answer with files

    # Dates before 1980 exist on files and not in zips.
    with ZipFile(target, "w", ZIP_DEFLATED, strict_timestamps=False) as archive:
        for file in files:
            archive.write(file.path, file.name)
