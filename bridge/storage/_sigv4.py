"""AWS Signature Version 4, the part of it that plain requests need."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from time import gmtime, strftime
from urllib.parse import quote

from bridge.storage._settings import Credentials

UNSIGNED = "UNSIGNED-PAYLOAD"


def encode_path(path: str) -> str:
    """A URL path as S3 signs it: everything but unreserved characters and slashes is escaped."""
    return quote(path, safe="/-_.~")


def encode_query(query: Mapping[str, str]) -> str:
    """A query string in canonical order and escaping."""
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in query.items())
    return "&".join(f"{k}={v}" for k, v in pairs)


def signed_headers(
    method: str,
    host: str,
    path: str,
    query: str,
    *,
    headers: Mapping[str, str],
    payload: str,
    credentials: Credentials,
    region: str,
    service: str = "s3",
) -> dict[str, str]:
    """`headers` with the ones that sign the request; `path` and `query` are already encoded.

    `payload` is the hex SHA-256 of the body, or UNSIGNED.
    """
    stamp = strftime("%Y%m%dT%H%M%SZ", gmtime())
    full = {name.lower(): value for name, value in headers.items()}
    full |= {"host": host, "x-amz-date": stamp, "x-amz-content-sha256": payload}
    if credentials.token:
        full["x-amz-security-token"] = credentials.token.reveal()
    names = ";".join(sorted(full))
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    lines = "".join(f"{name}:{full[name].strip()}\n" for name in sorted(full))
    canonical = "\n".join((method, path, query, lines, names, payload))
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, _hash(canonical)))
    signature = hmac.new(_signing_key(credentials, scope), text.encode(), hashlib.sha256)
    full["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature.hexdigest()}"
    )
    return full


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _signing_key(credentials: Credentials, scope: str) -> bytes:
    key = f"AWS4{credentials.secret_key.reveal()}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
