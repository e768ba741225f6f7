"""Where the manager's settings come from: the environment, below it a file, below it defaults."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.errors import UsageError
from bridge.secret import HIDDEN

__all__ = ["DEFAULTS", "FILE", "SECRET", "Origin", "configuration", "origins"]

FILE: Final = Path("/etc/oscar-bridge/manager.toml")
"""What is read where BRIDGE_CONFIG names no other file."""

_NAMED: Final = "BRIDGE_CONFIG"

DEFAULTS: Final[Mapping[str, str]] = {
    "AWS_DEFAULT_REGION": "",
    "AWS_REGION": "",
    "BRIDGE_AWS_MINIO": "",
    "BRIDGE_AWS_ROLE": "",
    "BRIDGE_AWS_SECURITY_GROUPS": "",
    "BRIDGE_AWS_SUBNETS": "",
    "BRIDGE_AWS_TARGETS": "",
    "BRIDGE_DATABASE_URL": "",
    "BRIDGE_IMAGE_PULL_SECRETS": "",
    "BRIDGE_LOG": "text",
    "BRIDGE_OIDC_AUDIENCE": "",
    "BRIDGE_POLICY_CANARY": "",
    "BRIDGE_POLICY_SHADOW": "",
    "BRIDGE_PULL_INTERVAL": "30",
    "BRIDGE_RECONCILE_INTERVAL": "300",
    "BRIDGE_RUNTIME_IMAGE": "",
    "BRIDGE_STATE": "/var/lib/oscar-bridge",
    "BRIDGE_STATE_KEY": "",
    "BRIDGE_TRUSTED_PROXIES": "",
    "BRIDGE_WEBHOOK_TOKEN": "",
    "BRIDGE_WEBHOOK_URL": "",
    "CORS_ALLOWED_ORIGINS": "*",
    "INGRESS_HOST": "",
    "JOB_LISTING_LIMIT": "70",
    "MINIO_ACCESS_KEY": "",
    "MINIO_ENDPOINT": "https://minio-service.minio:9000",
    "MINIO_REGION": "us-east-1",
    "MINIO_SECRET_KEY": "",
    "MINIO_TLS_VERIFY": "true",
    "OIDC_ENABLE": "false",
    "OIDC_GROUPS": "",
    "OIDC_ISSUERS": "",
    "OSCAR_BRIDGE_IMAGES": "push",
    "OSCAR_CONTROLLER_SERVICE_ACCOUNT": "oscar-sa",
    "OSCAR_NAME": "oscar",
    "OSCAR_NAMESPACE": "oscar",
    "OSCAR_PASSWORD": "",
    "OSCAR_SERVICES_NAMESPACE": "oscar-svc",
    "OSCAR_SERVICE_PORT": "8080",
    "OSCAR_USERNAME": "",
    "READ_TIMEOUT": "300",
    "SERVERLESS_BACKEND": "",
    "TTL_JOB": "2592000",
}
"""Every setting of the manager and what it is when nobody says."""

SECRET: Final = frozenset(
    {
        "BRIDGE_DATABASE_URL",
        "BRIDGE_STATE_KEY",
        "BRIDGE_WEBHOOK_TOKEN",
        "MINIO_ACCESS_KEY",
        "MINIO_SECRET_KEY",
        "OSCAR_PASSWORD",
    }
)
"""Those whose values are never shown."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A setting as it may be shown, and where it came from: a file, `environment` or `default`."""

    name: str
    value: str
    origin: str


def configuration(environment: Mapping[str, str], *, file: Path | None = None) -> dict[str, str]:
    """The environment, and below it what the file says; an empty variable is not set.

    The file is `file`, else what BRIDGE_CONFIG names, else FILE where there is one. UsageError for
    one that cannot be read, and for what it says that is no setting.
    """
    said = _said(_path(environment, file))
    return said | {name: value for name, value in environment.items() if value}


def origins(environment: Mapping[str, str], *, file: Path | None = None) -> list[Origin]:
    """Every setting, by name. Errors as `configuration`'s."""
    path = _path(environment, file)
    said = _said(path)
    found = []
    for name in sorted(DEFAULTS):
        if environment.get(name):
            found.append(Origin(name, _shown(name, environment[name]), "environment"))
        elif said.get(name):
            found.append(Origin(name, _shown(name, said[name]), str(path)))
        else:
            found.append(Origin(name, DEFAULTS[name], "default"))
    return found


def _shown(name: str, value: str) -> str:
    return HIDDEN if name in SECRET else value


def _path(environment: Mapping[str, str], file: Path | None) -> Path | None:
    named = environment.get(_NAMED)
    if file or named:
        return file or Path(str(named))
    return FILE if FILE.exists() else None


def _said(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        value = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        # Without the text: it may hold secrets.
        where = str(error).rpartition("(")[2].rstrip(")")
        raise UsageError(f"{path} is not TOML ({where})") from None
    return {name: _text(path, name, one) for name, one in value.items()}


def _text(path: Path, name: str, value: Any) -> str:
    """A value of the file as the environment would have it."""
    if name not in DEFAULTS:
        near = difflib.get_close_matches(name.upper(), DEFAULTS, 1)
        hint = f"is {near[0]} meant?" if near else "oscar-bridge config show lists the settings"
        raise UsageError(f"{path}: {name} is no setting of the manager", hint=hint)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ",".join(value)
    if isinstance(value, str | int):
        return str(value)
    raise UsageError(f"{path}: {name} must be text, a number, true or false, or a list of texts")
