"""Data on its way in and out of a job."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge.errors import EventError, PermanentError, UnsafePathError
from bridge.events import Event, file_name, payload
from bridge.supervisor._tasks import run_all
from bridge.supervisor._tree import adopt_orphans
from bridge.supervisor.config import PathConfig, ServiceConfig

if TYPE_CHECKING:
    from bridge.storage import Store
    from bridge.supervisor.stores import StoreFactory

# pathlib is left out: importing it costs the supervisor a tenth of its start.
# ruff: noqa: PTH104, PTH116, PTH118, PTH123

_UPLOADS_AT_ONCE = 4


class OutputFile(NamedTuple):
    """A file that the script has written: its name relative to the output folder, and its path."""

    name: str
    path: str


class Upload(NamedTuple):
    """One file to one place."""

    file: OutputFile
    provider: str
    bucket: str
    key: str


def stage_in(
    event: Event,
    service: ServiceConfig,
    stores: StoreFactory,
    folder: str,
    deadline: float | None,
    *,
    data: str = "",
) -> tuple[str, Mapping[str, Any]]:
    """Put the event's data into the folder; its path ("" when the script fetches it) and facts.

    `data` is a file with the data of an event that carries its own, moved from where it is.
    """
    if not event.is_storage:
        return _write_payload(event, folder, data)
    facts = {"provider": event.provider, "bucket": event.bucket, "key": event.key}
    if service.file_stage_in:
        return "", facts | {"size": event.size}
    if event.key.endswith("/"):
        raise EventError(f"{event.bucket}/{event.key} is a folder, there is nothing to read")
    store = stores(event.provider)
    path = os.path.join(folder, file_name(event))
    fetch: Callable[[], int] = lambda: store.get(event.bucket, event.key, path).size  # noqa: E731
    (size,) = run_all([fetch], workers=1, deadline=deadline, meanwhile=adopt_orphans)
    return path, facts | {"size": size}


def _write_payload(event: Event, folder: str, data: str) -> tuple[str, Mapping[str, Any]]:
    path = os.path.join(folder, file_name(event))
    if data:
        os.rename(data, path)
        return path, {"size": os.stat(path).st_size}
    content = payload(event)
    with open(path, "wb") as file:
        file.write(content)
    return path, {"size": len(content)}


def output_files(folder: str, root: str) -> list[OutputFile]:
    """Every regular file below the folder, in the order of names.

    A symbolic link to a file inside `root` counts as that file; one that leads out of it, or to
    nothing, raises UnsafePathError, as does a name that is not UTF-8. Links to folders and
    special files are left out.
    """
    if not os.path.isdir(folder):  # noqa: PTH112
        return []
    if os.path.islink(folder):  # noqa: PTH114
        raise UnsafePathError("the script has replaced its output folder by a link")
    return sorted(_files(folder, "", os.path.realpath(root)))


def _files(folder: str, above: str, root: str) -> Iterator[OutputFile]:
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        name = _text(above + entry.name)
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path, f"{name}/", root)
        elif entry.is_symlink():
            if _leads_to_file(entry.path, name, root):
                yield OutputFile(name, entry.path)
        elif entry.is_file():
            yield OutputFile(name, entry.path)


def _leads_to_file(path: str, name: str, root: str) -> bool:
    real = os.path.realpath(path)
    if not real.startswith(root + os.sep):
        raise UnsafePathError(f"the output {name} is a link that leads out of the work folder")
    try:
        return stat.S_ISREG(os.stat(real).st_mode)
    except OSError:
        raise UnsafePathError(f"the output {name} is a link that leads to nothing") from None


def _text(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UnsafePathError(f"the output's name {name!r} is not UTF-8 text") from None
    return name


def check_outputs(service: ServiceConfig, stores: StoreFactory) -> dict[str, Store]:
    """The store of each output; raises before the script runs what would fail after it."""
    for n, output in enumerate(service.outputs):
        if not output.bucket:
            raise PermanentError(f"output[{n}] of {service.name} has no path")
    return {output.provider: stores(output.provider) for output in service.outputs}


def stage_out(
    files: Sequence[OutputFile],
    service: ServiceConfig,
    event: Event,
    stores: Mapping[str, Store],
) -> list[Mapping[str, Any]]:
    """Send every file to every output that accepts it; facts of what was written, in order."""
    uploads = list(dict.fromkeys(planned(files, service, event)))
    return run_all([_sender(upload, stores) for upload in uploads], workers=_UPLOADS_AT_ONCE)


def planned(files: Iterable[OutputFile], service: ServiceConfig, event: Event) -> Iterator[Upload]:
    """Which file goes where."""
    for output in service.outputs:
        bucket = _bucket(output, service, event)
        for file in files:
            if output.accepts(file.name):
                yield Upload(file, output.provider, bucket, output.key_for(file.name))


def _bucket(output: PathConfig, service: ServiceConfig, event: Event) -> str:
    """The output's bucket, or that of the user who sent the event when results are kept apart."""
    apart = service.isolation == "USER" and output.provider.startswith("minio.")
    own = apart and bool(output.folder) and event.bucket in service.buckets
    return event.bucket if own else output.bucket


def _sender(upload: Upload, stores: Mapping[str, Store]) -> Callable[[], Mapping[str, Any]]:
    def send() -> Mapping[str, Any]:
        store = stores[upload.provider]
        info = store.put(upload.bucket, upload.key, upload.file.path)
        return {
            "provider": upload.provider,
            "bucket": upload.bucket,
            "key": upload.key,
            "size": info.size,
            "etag": info.etag,
        }

    return send
