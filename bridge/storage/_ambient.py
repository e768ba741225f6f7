"""The AWS credentials that a machine, function or container has of itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from bridge.errors import AccessError
from bridge.secret import Secret
from bridge.storage._settings import Credentials, environment_credentials

_ECS_HOST = "http://169.254.170.2"
_TIMEOUT = 5.0


def from_profile() -> Credentials | None:
    """The key pair of the shared AWS files, when they exist and boto3 is there to read them.

    Nothing when a container or a web identity gives credentials: the native client asks those.
    """
    if _has_container() or os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") or not _has_files():
        return None
    return _from_boto3()


def for_signing() -> Credentials:
    """Ambient credentials as a key pair, from wherever; AccessError when there are none."""
    found = environment_credentials()
    if found is None and _has_container():
        found = _from_container()
    found = found or _from_boto3()
    if found is None:
        raise AccessError(
            "no AWS credentials were found",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the job a role",
        )
    return found


def _has_container() -> bool:
    names = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    return any(os.environ.get(name) for name in names)


def _has_files() -> bool:
    if os.environ.get("AWS_PROFILE"):
        return True
    folder = Path("~/.aws").expanduser()
    return (folder / "credentials").exists() or (folder / "config").exists()


def _from_boto3() -> Credentials | None:
    try:
        import boto3  # noqa: PLC0415  an extra, and slow
    except ImportError:
        return None
    found = boto3.Session().get_credentials()
    if found is None:
        return None
    frozen = found.get_frozen_credentials()
    return Credentials(frozen.access_key, Secret(frozen.secret_key), Secret(frozen.token or ""))


def _from_container() -> Credentials:
    relative = os.environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    url = f"{_ECS_HOST}{relative}" if relative else os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    try:
        answer = json.loads(_fetch(url))
        return Credentials(
            answer["AccessKeyId"], Secret(answer["SecretAccessKey"]), Secret(answer["Token"])
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AccessError(
            f"the container's credentials service did not answer: {type(error).__name__}"
        ) from None


def _fetch(url: str) -> bytes:
    import http.client  # noqa: PLC0415  only containers on AWS need it

    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=_TIMEOUT)
    try:
        connection.request("GET", parts.path, headers=_authorization())
        return connection.getresponse().read()
    finally:
        connection.close()


def _authorization() -> dict[str, str]:
    file = os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    token = os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if file:
        token = Path(file).read_text(encoding="utf-8").strip()
    return {"Authorization": token} if token else {}
