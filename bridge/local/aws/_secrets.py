"""Where a job's secret is kept → what to ask for, and its value in the answer."""

from __future__ import annotations

import json
from typing import Any, Final

from bridge.errors import NotFoundError

Json = dict[str, Any]

_ARN_PARTS: Final = 7


def question(where: str) -> tuple[str, str, Json]:
    """The service to ask, its operation, and the request."""
    if ":secretsmanager:" not in where:
        return "ssm", "AmazonSSM.GetParameter", {"Name": where, "WithDecryption": True}
    base, _, stage, version = _parts(where)
    query = {"SecretId": base, "VersionStage": stage, "VersionId": version}
    wanted = {name: text for name, text in query.items() if text}
    return "secretsmanager", "secretsmanager.GetSecretValue", wanted


def value(where: str, status: int, answer: bytes) -> str:
    """The secret; NotFoundError, without anything secret in it, when there is none."""
    found: Json = json.loads(answer)
    if status != 200:
        why = f"{found.get('__type', '')} {found.get('message') or found.get('Message') or ''}"
        raise NotFoundError(f"the secret {where} cannot be read: {why.strip()}")
    if ":secretsmanager:" not in where:
        return str(found["Parameter"]["Value"])
    text = str(found.get("SecretString", ""))
    key = _parts(where)[1]
    if not key:
        return text
    try:
        return str(json.loads(text)[key])
    except (ValueError, KeyError, TypeError):
        # Without the cause: it may show the value.
        raise NotFoundError(f"the secret {where} has no member {key}") from None


def _parts(where: str) -> tuple[str, str, str, str]:
    """A secret's ARN, then the member, version stage and version id that may follow it."""
    parts = where.split(":")
    member, stage, version, *_ = [*parts[_ARN_PARTS:], "", "", ""]
    return ":".join(parts[:_ARN_PARTS]), member, stage, version
