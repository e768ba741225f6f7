"""The native S3 client (obstore): building it, and one object in or out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store as Client

from bridge.storage._settings import Credentials, S3Settings, environment_credentials
from bridge.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from obstore import ObjectMeta
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential

# What the client raises; it borrows the first two from Python.
NATIVE_ERRORS = (FileNotFoundError, ValueError, BaseError)
PANIC = "PanicException"
_BLOCK = 4 << 20
# Above this size a file goes in parts: the client holds a single request's body in memory.
_SINGLE = 16 << 20
_PART = 8 << 20
_MAX_PARTS = 9000
_PARALLEL = 4
_PROFILE_LIFE = timedelta(minutes=10)
_RETRY: RetryConfig = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=90),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}


def build(settings: S3Settings, credentials: Credentials | None, bucket: str) -> Client:
    """A client of one bucket of AWS, or of the whole service when there is an endpoint.

    With an endpoint, keys given to it start with the bucket: one connection pool serves them all.
    """
    config: S3Config = {"region": settings.region, "disable_bulk_delete": True}
    if settings.endpoint:
        # Said twice because the client prefers AWS_ENDPOINT_URL_S3 to what it is given.
        config["endpoint"] = config["aws_endpoint_url_s3"] = settings.endpoint
        config["virtual_hosted_style_request"] = True
    fixed = credentials or environment_credentials()
    callback = _callback(fixed)
    if fixed is not None or callback is not None:
        config["skip_signature"] = False
    if fixed is not None and callback is None:
        config |= _pair(fixed)
    return Client(
        bucket,
        config=config,
        client_options=_options(settings),
        retry_config=_RETRY,
        credential_provider=callback,
    )


def _pair(credentials: Credentials) -> S3Config:
    pair: S3Config = {
        "access_key_id": credentials.access_key,
        "secret_access_key": credentials.secret_key.reveal(),
    }
    if credentials.token:
        pair["session_token"] = credentials.token.reveal()
    return pair


def _callback(fixed: Credentials | None) -> Callable[[], S3Credential] | None:
    """Where credentials must come from a function, at the price of a slower start; else None.

    That is for the shared files of AWS's tools, whose values may expire, and for a key pair without
    a token where the environment has one: the client would mix the two.
    """
    if fixed is not None:
        foreign = any(os.environ.get(name) for name in ("AWS_SESSION_TOKEN", "AWS_TOKEN"))
        return (lambda: _credential(fixed, None)) if foreign and not fixed.token else None
    from bridge.storage import _ambient  # noqa: PLC0415  rarely needed

    if _ambient.from_profile() is None:
        return None
    return lambda: _credential(_ambient.for_signing(), datetime.now(UTC) + _PROFILE_LIFE)


def _credential(credentials: Credentials, expires: datetime | None) -> S3Credential:
    return {
        "access_key_id": credentials.access_key,
        "secret_access_key": credentials.secret_key.reveal(),
        "token": credentials.token.reveal() or None,
        "expires_at": expires,
    }


def _options(settings: S3Settings) -> ClientConfig:
    options: ClientConfig = {
        # Of a whole request: an object of 100 GB on a slow line. A stalled one ends much earlier.
        "timeout": "6h",
        "read_timeout": "60s",
        "connect_timeout": "5s",
    }
    if settings.endpoint.startswith("http://"):
        # Loading the system's certificates takes most of a small job's time and is of no use here.
        options |= {"allow_http": True, "allow_invalid_certificates": True}
    if not settings.verify:
        options["allow_invalid_certificates"] = True
    if settings.authority:
        with open(settings.authority, "rb") as file:  # noqa: PTH123
            options["root_certificate"] = file.read()
    return options


def get(client: Client, path: str, file: BinaryIO) -> tuple[ObjectMeta, str]:
    """Write the object into the file; its facts and the MD5 of what was written."""
    result = obstore.get(client, path)
    digest = hashlib.md5(usedforsecurity=False)
    for block in result.stream(_BLOCK):
        digest.update(block)
        file.write(block)
    return result.meta, digest.hexdigest()


def put(
    client: Client, path: str, file: BinaryIO, metadata: Mapping[str, str]
) -> tuple[int, Mapping[str, Any]]:
    """Store the file; its size and what the service said of the object."""
    size = os.fstat(file.fileno()).st_size
    attributes = dict(metadata) or None
    if size <= _SINGLE:
        body = file.read()
        said = obstore.put(client, path, body, attributes=attributes, use_multipart=False)
        return len(body), dict(said)
    part = max(_PART, -(-size // _MAX_PARTS))
    said = obstore.put(
        client,
        path,
        file,
        attributes=attributes,
        use_multipart=True,
        chunk_size=part,
        max_concurrency=_PARALLEL,
    )
    return size, dict(said)


def head(client: Client, path: str) -> ObjectMeta:
    """Facts of one object."""
    return obstore.head(client, path)


def info(bucket: str, key: str, meta: ObjectMeta) -> ObjectInfo:
    """The client's facts as ours."""
    modified = meta["last_modified"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    etag = (meta["e_tag"] or "").strip('"')
    return ObjectInfo(bucket, key, meta["size"], etag, meta["version"] or "", modified)


def delete(client: Client, path: str) -> None:
    """Remove one object; no error when it is not there."""
    obstore.delete(client, path)
