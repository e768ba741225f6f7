"""LocalStack, for those who say that they mean it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.errors import MissingToolError, UsageError

OPT_IN: Final = "OSCAR_BRIDGE_LOCALSTACK"
KEYS: Final[Mapping[str, str]] = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
"""What LocalStack takes; real keys have no business there."""

_SDK: Final = "AWS_ENDPOINT_URL"
_WORDS: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def localstack_endpoint(environment: Mapping[str, str]) -> str:
    """Where localstack-client finds LocalStack (by LOCALSTACK_HOST, USE_SSL, …), "" not to use it.

    Only with OSCAR_BRIDGE_LOCALSTACK=1: a LOCALSTACK_HOST that is left in some shell must not lead
    a deployment astray, nor must its absence. AWS_ENDPOINT_URL goes before it. UsageError for
    another value, MissingToolError without localstack-client.
    """
    said = environment.get(OPT_IN, "").strip().lower()
    if said and said not in _WORDS:
        raise UsageError(f"{OPT_IN}={environment[OPT_IN]}: say 1 or 0")
    if not _WORDS.get(said, False) or environment.get(_SDK, "").strip():
        return ""
    try:
        from localstack_client.config import get_service_endpoint  # noqa: PLC0415  not always here
    except ImportError as error:
        raise MissingToolError(
            f"{OPT_IN} is set, but the Python package localstack-client is not installed",
            hint=f"pip install localstack-client, or set {_SDK}",
        ) from error
    return str(get_service_endpoint("s3"))
