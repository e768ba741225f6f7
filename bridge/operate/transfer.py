"""Files to and from buckets: streamed, several at once, never outside the folder asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bridge.errors import BridgeError, NotFoundError, UnsafePathError, UsageError
from bridge.fdl.model import StoragePath
from bridge.operate.deployed import Deployed, document, place_of
from bridge.secret import Secret
from bridge.storage import ObjectInfo, Store, open_store
from bridge.targets.aws.account import Account, translated

__all__ = [
    "Moved",
    "NamedFile",
    "Place",
    "get",
    "named_files",
    "output_of",
    "place_at",
    "put",
    "store_of",
]

_AT_ONCE: Final = 8
_LONGEST: Final = 255


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of a bucket (`folder` without slashes at its ends) and the store it is in.

    `scheme` is that of the URLs that are shown.
    """

    store: Store
    bucket: str
    folder: str = ""
    scheme: str = "s3"

    def key(self, name: str) -> str:
        """Key of a file in the folder."""
        return f"{self.folder}/{name}" if self.folder else name

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key('')}"


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file of this machine and the name that it gets, with slashes between folders."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Moved:
    """One file that was put or fetched, or the reason why not. `size` in bytes."""

    url: str
    path: Path
    size: int = 0
    etag: str = ""
    version: str = ""
    key: str = ""
    problem: str = ""


def named_files(given: Iterable[Path]) -> list[NamedFile]:
    """Files by their names, folders file by file by their paths inside.

    UsageError when one cannot be read, when two would get one name, and when there is none.
    """
    found: dict[str, Path] = {}
    for name, path in (pair for one in given for pair in _files(one)):
        other = found.setdefault(name, path)
        if other != path:
            raise UsageError(
                f"two files would both be called {name}: {other} and {path}",
                hint="give the folder above them, or rename one",
            )
    if not found:
        raise UsageError("there is no file to send", hint="give files, or folders with files")
    return [NamedFile(path, name) for name, path in found.items()]


def _files(given: Path) -> Iterator[tuple[str, Path]]:
    if given.is_dir():
        pairs = ((p.relative_to(given).as_posix(), p) for p in sorted(given.rglob("*")))
        found = [(name, path) for name, path in pairs if path.is_file()]
    elif given.is_file():
        found = [(given.name, given)]
    else:
        raise UsageError(f"{given}: no such file or folder")
    for name, path in found:
        if not os.access(path, os.R_OK):
            raise UsageError(f"{path} cannot be read: permission denied")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{str(path)!r}: the name is not UTF-8 text") from None
        yield name, path


def place_at(account: Account, url: str) -> Place:
    """The place at an s3:// URL, with the account's credentials, in whatever region it is."""
    bucket, key = place_of(url)
    return Place(_own_store(account, bucket), bucket, key.strip("/"))


def store_of(account: Account, deployed: Deployed, path: StoragePath) -> Place:
    """The place of a service's input or output, reached as its jobs reach it.

    `s3.default` is reached with the account's credentials, another provider with the settings of
    the deployed service and the credentials in its secret.
    """
    if str(path.provider) == "s3.default":
        return Place(_own_store(account, path.bucket), path.bucket, path.folder)
    provider = document(account, deployed).providers.get(path.provider)
    settings: Mapping[str, Any] = dict(provider.settings) if provider else {}
    secrets = _secrets(account, deployed, str(path.provider))
    if not secrets and path.provider.type == "s3":
        return Place(_own_store(account, path.bucket), path.bucket, path.folder)
    return Place(open_store(str(path.provider), settings, secrets), path.bucket, path.folder)


def output_of(account: Account, deployed: Deployed) -> Place:
    """Where the service's outputs are; UsageError unless it is one place."""
    outputs = document(account, deployed).service(deployed.service).outputs
    places = dict.fromkeys((path.provider, path.path) for path in outputs)
    if len(places) == 1:
        return store_of(account, deployed, outputs[0])
    urls = ", ".join(f"{provider}:{path}" for provider, path in places) or "none"
    raise UsageError(
        f"service {deployed.service} does not have one output folder", hint=f"it has: {urls}"
    )


def _secrets(account: Account, deployed: Deployed, provider: str) -> dict[str, Secret]:
    import json  # noqa: PLC0415  rarely needed

    if not deployed.secret:
        return {}
    with translated(f"secret {deployed.secret}"):
        text = account.client("secretsmanager").get_secret_value(SecretId=deployed.secret)
    values = json.loads(text["SecretString"]).get(provider, {})
    return {name: Secret(str(value)) for name, value in values.items()}


def _own_store(account: Account, bucket: str) -> Store:
    settings = {"region": _region(account, bucket), "endpoint": account.settings.endpoint}
    return open_store("s3", settings, account.store_secrets())


def _region(account: Account, bucket: str) -> str:
    """The bucket's region; a bucket that is not there is an error now and not at each file."""
    with translated(f"bucket {bucket}"):
        answer = account.client("s3").head_bucket(Bucket=bucket)
    said = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
    return str(said or account.region)


def put(
    place: Place, files: Sequence[NamedFile], done: Callable[[Moved], None] = lambda _: None
) -> list[Moved]:
    """Store every file in the place; one that fails has its `problem`, the others go on.

    `done` hears of each at once, in the order in which they end.
    """

    def send(file: NamedFile) -> Moved:
        key = place.key(file.name)
        url = f"{place.scheme}://{place.bucket}/{key}"
        try:
            info = place.store.put(place.bucket, key, file.path)
        except BridgeError as error:
            return Moved(url, file.path, key=key, problem=error.message)
        return Moved(url, file.path, info.size, info.etag, info.version, key)

    return _together([partial(send, file) for file in files], done)


def get(place: Place, folder: Path, done: Callable[[Moved], None] = lambda _: None) -> list[Moved]:
    """Fetch the object of that key, and every object below it, into the folder.

    Names are relative to the place. A key that would leave the folder, or cannot be a file there,
    is a `problem`; nothing of it is written. NotFoundError when there is no object.
    """
    found = list(_listed(place))
    if not found:
        raise NotFoundError(f"there is no object at {place}")
    folder.mkdir(parents=True, exist_ok=True)
    root = folder.resolve()

    def fetch(name: str, info: ObjectInfo) -> Moved:
        url = f"{place.scheme}://{info.bucket}/{info.key}"
        try:
            target = _inside(root, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            got = place.store.get(info.bucket, info.key, target)
        except OSError as error:
            return Moved(url, root, key=info.key, problem=f"{name}: {error.strerror or error}")
        except BridgeError as error:
            return Moved(url, root, key=info.key, problem=error.message)
        return Moved(url, target, got.size, got.etag, got.version, info.key)

    return _together([partial(fetch, name, info) for name, info in found], done)


def _listed(place: Place) -> Iterator[tuple[str, ObjectInfo]]:
    """Objects with their names relative to the place."""
    if place.folder:
        try:
            info = place.store.head(place.bucket, place.folder)
            yield place.folder.rpartition("/")[2], info
        except NotFoundError:
            pass
    below = place.key("")
    for info in place.store.list(place.bucket, below):
        yield info.key[len(below) :], info


def _inside(root: Path, name: str) -> Path:
    """The file of that name below the folder; UnsafePathError when it would be elsewhere."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or len(part.encode()) > _LONGEST for part in parts):
        raise UnsafePathError(f"the key {name!r} cannot be the name of a file below {root}")
    if "\0" in name or (os.sep != "/" and os.sep in name):
        raise UnsafePathError(f"the key {name!r} cannot be the name of a file below {root}")
    target = root.joinpath(*parts)
    # A link that was in the folder before must not lead out of it.
    if not target.parent.resolve().is_relative_to(root):
        raise UnsafePathError(f"{target.parent} leads out of {root} by a link")
    return target


def _together(work: Sequence[Callable[[], Moved]], done: Callable[[Moved], None]) -> list[Moved]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = [pool.submit(one) for one in work]
        try:
            for future in as_completed(running):
                done(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in running]
