"""Which account, region and deployment a command is about."""

from __future__ import annotations

import os
import re
from typing import Final

from bridge.errors import MissingToolError, UsageError
from bridge.targets.aws.account import Account, AccountSettings, translated

__all__ = ["account_for"]

_PREFIX: Final = re.compile(r"[a-z][a-z0-9-]{0,24}[a-z0-9]")


def account_for(*, profile: str = "", region: str = "", prefix: str = "oscar-bridge") -> Account:
    """The account that profile, region and the environment name; asks AWS nothing.

    Region: the argument, AWS_REGION, AWS_DEFAULT_REGION, the profile's. UsageError without any or
    for a prefix that buckets cannot have, AccessError for a profile that is not there,
    MissingToolError without boto3.
    """
    if not _PREFIX.fullmatch(prefix):
        raise UsageError(
            f"--prefix {prefix!r} cannot be used",
            hint="2 to 26 small letters, digits and hyphens, first a letter (buckets carry it)",
        )
    where = region or os.environ.get("AWS_REGION", "") or _of_profile(profile)
    if not where:
        raise UsageError("no AWS region is set", hint="give --region or set AWS_REGION")
    return Account(AccountSettings(name=prefix, region=where, profile=profile))


def _of_profile(profile: str) -> str:
    """The region that boto3 would take: AWS_DEFAULT_REGION, else the profile's, else ""."""
    try:
        import boto3  # noqa: PLC0415  heavy, and an extra
    except ImportError as error:
        raise MissingToolError(
            "AWS commands need boto3", hint="pip install 'oscar-bridge[aws]'"
        ) from error
    with translated("AWS profile"):
        found: str | None = boto3.Session(profile_name=profile or None).region_name
    return found or ""
