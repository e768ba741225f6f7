"""What AWS refuses, told so that a person can act on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from bridge.errors import AccessError, BridgeError, PermanentError, TargetUnavailable
from bridge.targets.aws.account import Account, translated

__all__ = ["asked", "code_of", "denial", "unknown_to_endpoint"]

_DENIAL: Final = re.compile(
    r"(?:User: (?P<who>\S+) )?is not authori[sz]ed to perform:? "
    r"(?P<action>[A-Za-z0-9-]+:[A-Za-z*]+)"
    r"(?: on (?:the )?resource:? (?P<resource>\S+?))?(?=[\s,;.)]|$)",
    re.IGNORECASE,
)
# What endpoints answer that do not know an operation: AWS's own words, then those of emulators.
_UNKNOWN: Final = frozenset(
    {
        "InvalidAction",
        "NotImplemented",
        "NotImplementedException",
        "UnknownOperation",
        "UnknownOperationException",
        "UnsupportedOperation",
        "501",
    }
)


def code_of(error: BaseException) -> str:
    """The code of a botocore ClientError, "" for another exception."""
    response: Any = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def unknown_to_endpoint(error: BaseException) -> bool:
    """Whether the endpoint does not know the operation."""
    return code_of(error) in _UNKNOWN


def denial(text: str) -> AccessError | None:
    """The missing permission that a message of AWS is about; None when it is about another."""
    found = _DENIAL.search(text)
    if found is None:
        return None
    who, action = found["who"] or "the deployer", found["action"]
    what = found["resource"] or "*"
    return AccessError(
        f"{who} may not {action} on {what}",
        hint=f"allow {action} on {what} in a policy of {who}",
    )


@contextmanager
def asked(account: Account, service: str, what: str) -> Iterator[None]:
    """Like `translated`, and says which permission is missing and which region has no service."""
    from botocore import exceptions as aws  # noqa: PLC0415  heavy, and an extra

    try:
        with translated(what):
            yield
    except BridgeError as error:
        cause = error.__cause__
        if isinstance(cause, aws.ClientError):
            raise _refused(error, cause, account, service) from cause
        if isinstance(cause, aws.EndpointConnectionError | aws.UnknownEndpointError):
            raise _unreachable(account, service, str(cause)) from cause
        raise


def _refused(error: BridgeError, cause: Any, account: Account, service: str) -> BridgeError:
    if missing := denial(str(cause)):
        missing.message = f"{error.message.partition(':')[0]}: {missing.message}"
        return missing
    if unknown_to_endpoint(cause):
        where = account.client(service).meta.endpoint_url
        return PermanentError(
            f"{where} does not know {cause.operation_name} of {service}",
            hint="the endpoint or the region lacks this feature; use another with --region",
        )
    return error


def _unreachable(account: Account, service: str, said: str) -> BridgeError:
    import boto3  # noqa: PLC0415

    regions = boto3.Session().get_available_regions(service)
    if account.region in regions or not regions:
        return TargetUnavailable(said, hint="look at the network and at AWS_ENDPOINT_URL")
    return PermanentError(
        f"{said}: AWS lists no {service} in region {account.region!r}",
        hint="choose another with --region or AWS_REGION",
    )
