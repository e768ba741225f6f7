"""What an S3 provider's settings and credentials mean: FDL's names and AWS's environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from bridge.errors import AccessError, PermanentError
from bridge.secret import Secret

DEFAULT_REGION = "us-east-1"
_FALSE = frozenset({"false", "0", "no", "off", ""})
# The last spelling is that of upstream's credential files.
_FIELDS = {
    "access_key": ("access_key", "access_key_id", "accessKey"),
    "secret_key": ("secret_key", "secret_access_key", "secretKey"),
    "session_token": ("session_token", "sessionToken"),
}


class Credentials(NamedTuple):
    """A key pair, with the token of temporary credentials ("" for none)."""

    access_key: str
    secret_key: Secret
    token: Secret


class S3Settings(NamedTuple):
    """Where an S3 service is. `endpoint` is "" for AWS itself.

    `verify` is False to accept any certificate; `authority` is the path of a PEM file with a
    private certificate authority.
    """

    provider: str
    endpoint: str
    region: str
    verify: bool = True
    authority: str = ""


def s3_settings(provider: str, settings: Mapping[str, Any]) -> S3Settings:
    """Read FDL's `endpoint`, `region` and `verify`; `s3` takes what is absent from AWS's variables.

    Raises PermanentError when an endpoint is not an http or https URL, when a type other than `s3`
    has none, and when `verify` names no file.
    """
    aws = provider.partition(".")[0] == "s3"
    endpoint = str(settings.get("endpoint") or (_aws_endpoint() if aws else "")).rstrip("/")
    region = str(settings.get("region") or (_aws_region() if aws else "") or DEFAULT_REGION)
    if not endpoint and not aws:
        raise PermanentError(f"storage provider {provider} has no endpoint")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise PermanentError(
            f"the endpoint of {provider} is not an http:// or https:// URL: {_no_user(endpoint)}"
        )
    verify, authority = _verify(settings.get("verify"))
    if authority and not os.path.isfile(authority):  # noqa: PTH113  pathlib is slow to import
        raise PermanentError(
            f"`verify` of {provider} is neither true, false nor a certificate file: {authority}"
        )
    return S3Settings(provider, endpoint, region, verify, authority)


def explicit_credentials(provider: str, secrets: Mapping[str, str | Secret]) -> Credentials | None:
    """The key pair among the secrets; None for an `s3` provider that brings none.

    Raises AccessError when a half is missing, or when a provider other than `s3` has none.
    """
    access, secret, token = (_first(secrets, names) for names in _FIELDS.values())
    if access and secret:
        return Credentials(access, Secret(secret), Secret(token))
    if access or secret:
        missing = "secret_key" if access else "access_key"
        raise AccessError(f"the credentials of {provider} have no {missing}")
    if provider.partition(".")[0] == "s3":
        return None
    raise AccessError(
        f"no credentials for {provider}",
        hint=f"give access_key and secret_key of {provider} to the place that runs the job",
    )


def environment_credentials() -> Credentials | None:
    """The key pair of AWS_ACCESS_KEY_ID and its companions, None when it is not set."""
    access = os.environ.get("AWS_ACCESS_KEY_ID")
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not access or not secret:
        return None
    token = os.environ.get("AWS_SESSION_TOKEN", "")
    return Credentials(access, Secret(secret), Secret(token))


def _first(secrets: Mapping[str, str | Secret], names: tuple[str, ...]) -> str:
    for name in names:
        value = secrets.get(name)
        if value:
            return value.reveal() if isinstance(value, Secret) else value
    return ""


def _aws_endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _aws_region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""


def _verify(value: object) -> tuple[bool, str]:
    if isinstance(value, str) and value.lower() not in {*_FALSE, "true", "1", "yes", "on"}:
        return True, value
    if value is None:
        return True, ""
    return str(value).lower() not in _FALSE, ""


def _no_user(url: str) -> str:
    """The URL without what stands before an @: a password may be there."""
    return url.rpartition("@")[2]
