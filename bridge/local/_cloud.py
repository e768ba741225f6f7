"""The AWS endpoint of this machine as an account, and its S3 as a storage provider."""

from __future__ import annotations

from typing import Final

from bridge.local.aws import AwsEndpoint
from bridge.secret import Secret
from bridge.targets.aws import Account, AccountSettings
from bridge.targets.render import ProviderAccess

__all__ = ["account_of", "account_settings", "s3_access"]

_POLL: Final = 0.1
_ROLE: Final = "arn:aws:iam::000000000000:role/oscar-bridge-local"


def account_of(endpoint: AwsEndpoint, name: str = "oscar-bridge") -> Account:
    """The endpoint's account; what services share there has the name, and is not made here."""
    return Account(account_settings(endpoint, name))


def account_settings(endpoint: AwsEndpoint, name: str, prefix: str = "") -> AccountSettings:
    """How the account of an endpoint that has started is reached; see AccountSettings."""
    environment = endpoint.environment()
    return AccountSettings(
        name,
        region=environment["AWS_REGION"],
        endpoint=endpoint.url,
        credentials={
            "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
        },
        role=_ROLE,
        poll=_POLL,
        prefix=prefix,
    )


def s3_access(endpoint: AwsEndpoint) -> ProviderAccess:
    """How anything on this machine, and any container, reaches the endpoint's S3."""
    environment = endpoint.environment()
    return ProviderAccess(
        {"endpoint": endpoint.url, "region": environment["AWS_REGION"]},
        {
            "access_key": Secret(environment["AWS_ACCESS_KEY_ID"]),
            "secret_key": Secret(environment["AWS_SECRET_ACCESS_KEY"]),
        },
    )
