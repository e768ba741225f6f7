"""Where a job's parts come from: the job contract's variables, in their order."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping

from bridge.errors import EventError, NotFoundError, PermanentError, UsageError
from bridge.storage import Store
from bridge.supervisor.config import ServiceConfig, parse_service
from bridge.supervisor.report import s3_place
from bridge.supervisor.stores import StoreFactory

# pathlib is left out: importing it costs the supervisor a tenth of its start.
# ruff: noqa: PTH103, PTH105, PTH107, PTH112, PTH113, PTH118, PTH120, PTH123, PTH208

SERVICE_FILE = "/oscar/config/function_config.json"
SCRIPT_FILE = "/oscar/config/script.sh"
_FILES = ("service.json", "script.sh")
_OWNER_ONLY = 0o700


def load_service(environ: Mapping[str, str], s3: StoreFactory) -> ServiceConfig:
    """The service and its script as the variables say.

    `s3` opens `s3.default`, for BRIDGE_SERVICE_URL; what is there is kept in a folder of this
    machine, as its prefix or object is named by content. Raises PermanentError when there is no
    service or it cannot be read, and what the store raises. A service without a script has
    `script` None.
    """
    folder = ""
    if url := environ.get("BRIDGE_SERVICE_URL"):
        folder = _cached(url, environ, s3)
        service = read_service(os.path.join(folder, _FILES[0]))
    elif path := environ.get("BRIDGE_SERVICE_FILE"):
        service = read_service(path)
    elif text := environ.get("FUNCTION_CONFIG"):
        service = parse_service(_json(_base64(text, "FUNCTION_CONFIG"), "FUNCTION_CONFIG"))
    elif os.path.isfile(SERVICE_FILE):
        service = read_service(SERVICE_FILE)
    else:
        raise PermanentError(
            "there is no service to run",
            hint="set BRIDGE_SERVICE_URL, BRIDGE_SERVICE_FILE or FUNCTION_CONFIG",
        )
    return service.with_script(_script(environ, folder, service))


def read_service(path: str) -> ServiceConfig:
    """The service in a JSON file, without its script; PermanentError when it cannot be read."""
    return parse_service(_json(read_file(path), path))


def read_file(path: str) -> bytes:
    """A file's content; PermanentError when it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise PermanentError(f"cannot read {path}: {error.strerror}") from error


def load_event(environ: Mapping[str, str], s3: StoreFactory, folder: str) -> bytes:
    """The event's body as the variables say, else all of standard input.

    `folder` is for a short-lived file. Raises EventError when it cannot be read, and what the
    store raises.
    """
    if url := environ.get("BRIDGE_EVENT_URL"):
        return _fetched(url, s3, folder)
    if path := environ.get("BRIDGE_EVENT_FILE"):
        try:
            return _joined(path) if os.path.isdir(path) else read_file(path)
        except PermanentError as error:
            raise EventError(error.message) from error
    if (text := environ.get("EVENT")) is not None:
        return text.encode("utf-8", "surrogateescape")
    return sys.stdin.buffer.read()


def _joined(folder: str) -> bytes:
    """The files of a folder in the order of their names: the parts of what no one file can hold."""
    # Kubernetes keeps its own links beside the files, under names with two dots.
    names = sorted(name for name in os.listdir(folder) if not name.startswith(".."))
    return b"".join(read_file(os.path.join(folder, name)) for name in names)


def work_base(environ: Mapping[str, str]) -> str:
    """The folder below which jobs get theirs."""
    return environ.get("BRIDGE_WORK_DIR") or environ.get("TMPDIR") or "/tmp"  # noqa: S108


def seconds(text: str | None, name: str) -> float | None:
    """A number of seconds above 0, None when it is not given; UsageError when it is none."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{name} must be a number of seconds above 0, not {text!r}")
    return value


def _script(environ: Mapping[str, str], folder: str, service: ServiceConfig) -> bytes | None:
    if text := environ.get("SCRIPT"):
        return _base64(text, "SCRIPT")
    if path := environ.get("BRIDGE_SCRIPT_FILE"):
        return read_file(path)
    beside = os.path.join(folder, _FILES[1]) if folder else ""
    for path in (beside, SCRIPT_FILE, service.init_script):
        if path and os.path.isfile(path):
            return read_file(path)
    return None


def _cached(url: str, environ: Mapping[str, str], s3: StoreFactory) -> str:
    """A folder with the service's files, fetched unless it is complete already."""
    bucket, prefix = s3_place(url)
    store = s3("s3.default")
    digest = hashlib.sha256(url.encode()).hexdigest()[:32]
    base = os.path.join(work_base(environ), f"bridge-services-{os.getuid()}")
    folder = _private(os.path.join(base, digest))
    if not prefix or prefix.endswith("/"):
        # The configuration comes last: where it is, the rest is too.
        for name in reversed(_FILES):
            path = os.path.join(folder, name)
            if not os.path.isfile(os.path.join(folder, _FILES[0])):
                _fetch(store, bucket, f"{prefix.rstrip('/')}/{name}".lstrip("/"), path)
    elif not os.path.isfile(os.path.join(folder, _FILES[0])):
        _unpack(_fetched(url, s3, folder), url, folder)
    return folder


def _unpack(body: bytes, url: str, folder: str) -> None:
    """Write the service and the script of a single object as the files that they stand for."""
    document = _json(body, url)
    if not isinstance(document, dict) or "service" not in document:
        raise PermanentError(f"{url} is not an object with a service")
    script = document.get("script")
    if script is not None and not isinstance(script, str):
        raise PermanentError(f"the script in {url} must be text, not {type(script).__name__}")
    if script is not None:
        _write(os.path.join(folder, _FILES[1]), script.encode())
    _write(os.path.join(folder, _FILES[0]), json.dumps(document["service"]).encode())


def _write(path: str, body: bytes) -> None:
    """Replace a file at once: another process may be reading it."""
    part = f"{path}.{os.getpid()}-{os.urandom(4).hex()}.part"
    with open(part, "wb") as file:
        file.write(body)
    os.replace(part, path)


def _private(folder: str) -> str:
    """The folder, made for us alone; PermanentError when it is somebody else's."""
    os.makedirs(os.path.dirname(folder), _OWNER_ONLY, exist_ok=True)
    os.makedirs(folder, _OWNER_ONLY, exist_ok=True)
    for place in (os.path.dirname(folder), folder):
        if os.lstat(place).st_uid != os.getuid():
            raise PermanentError(f"{place} belongs to another user")
    return folder


def _fetch(store: Store, bucket: str, key: str, path: str) -> None:
    try:
        store.get(bucket, key, path)
    except NotFoundError:
        if not key.endswith(_FILES[1]):
            raise


def _fetched(url: str, s3: StoreFactory, folder: str) -> bytes:
    bucket, key = s3_place(url)
    path = os.path.join(folder, f"bridge-event-{os.getpid()}-{os.urandom(6).hex()}")
    s3("s3.default").get(bucket, key, path)
    try:
        return read_file(path)
    finally:
        os.remove(path)


def _json(text: bytes, where: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PermanentError(f"{where} is not JSON: {error}") from error


def _base64(text: str, name: str) -> bytes:
    from base64 import b64decode  # noqa: PLC0415  only upstream's way of passing needs it

    try:
        return b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise PermanentError(f"{name} is not base64: {error}") from error
