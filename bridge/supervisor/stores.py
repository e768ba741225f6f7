"""The stores of one service: settings from its configuration, credentials from the place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bridge.errors import AccessError, PermanentError
from bridge.secret import Secret
from bridge.storage import open_store
from bridge.supervisor.config import ServiceConfig, full_name

if TYPE_CHECKING:
    from bridge.storage import Store

# pathlib is left out: importing it costs the supervisor a tenth of its start.
# ruff: noqa: PTH118, PTH123, PTH208

SECRETS_DIR = "/var/run/secrets/providers"
# Where OSCAR's own MinIO is, for clusters that do not say.
_OSCAR_MINIO = {"minio.default": "http://minio-service.minio:9000"}
_VARIABLES = "environment"
_CREDENTIAL_FIELDS = ("access_key", "secret_key", "session_token")

#: From `<type>.<id>` to its credentials by field; empty when there are none.
SecretSource = Callable[[str], Mapping[str, Secret]]
#: From `<type>.<id>` to its store.
StoreFactory = Callable[[str], "Store"]


def folder_secrets(folder: str = SECRETS_DIR) -> SecretSource:
    """Secrets in files `<folder>/<type>.<id>/<field>`, read anew at each call: they may rotate.

    A provider without a folder has none. AccessError when a file cannot be read.
    """

    def read(provider: str) -> dict[str, Secret]:
        place = os.path.join(folder, provider)
        try:
            # Kubernetes keeps its own links beside the files, under names with two dots.
            names = [name for name in os.listdir(place) if not name.startswith("..")]
            texts = {name: _content(os.path.join(place, name)) for name in names}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise AccessError(f"cannot read the credentials in {place}: {error}") from None
        ends = "" if provider == _VARIABLES else "\r\n"
        return {name: Secret(text.rstrip(ends)) for name, text in texts.items()}

    return read


def managed_secrets(name: str) -> SecretSource:
    """Secrets in one secret of AWS Secrets Manager: `{"<type>.<id>": {"<field>": "<value>"}}`.

    It is read once, at the first use, with this place's own credentials. Raises AccessError or
    NotFoundError when it cannot be read or has another form, TargetUnavailable when trying again
    may help.
    """
    found: dict[str, dict[str, Secret]] | None = None

    def read(provider: str) -> dict[str, Secret]:
        nonlocal found
        if found is None:
            found = _fetch(name)
        return found.get(provider, {})

    return read


def secret_source(environ: Mapping[str, str]) -> SecretSource:
    """The source that BRIDGE_SECRETS_ID or BRIDGE_SECRETS_DIR name; a file beats the other."""
    files = folder_secrets(environ.get("BRIDGE_SECRETS_DIR") or SECRETS_DIR)
    name = environ.get("BRIDGE_SECRETS_ID")
    if not name:
        return files
    managed = managed_secrets(name)
    return lambda provider: files(provider) or managed(provider)


def script_secrets(secrets: SecretSource) -> dict[str, str]:
    """The secret variables of the script; they stand among the providers as `environment`."""
    return {name: value.reveal() for name, value in secrets(_VARIABLES).items()}


def stores_for(service: ServiceConfig, secrets: SecretSource) -> StoreFactory:
    """From `<type>.<id>` to its open store, for the providers of a service.

    The factory raises what `open_store` raises.
    """

    def store(provider: str) -> Store:
        provider = full_name(provider)
        settings = dict(service.providers.get(provider, {}))
        inline = {name: settings.pop(name) for name in _CREDENTIAL_FIELDS if name in settings}
        if provider in _OSCAR_MINIO and not settings.get("endpoint"):
            settings["endpoint"] = _OSCAR_MINIO[provider]
        return open_store(provider, settings, secrets(provider) or _wrapped(inline, provider))

    return store


def _wrapped(values: Mapping[str, Any], provider: str) -> dict[str, Secret]:
    """Credentials as upstream has them among the settings."""
    if not all(isinstance(value, str) for value in values.values()):
        raise PermanentError(f"the credentials of {provider} must be text")
    return {name: Secret(value) for name, value in values.items()}


def _content(path: str) -> str:
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def _fetch(name: str) -> dict[str, dict[str, Secret]]:
    from bridge.storage.aws import Call, call  # noqa: PLC0415  few places have such a secret

    what, target = f"cannot read the secret {name}", "secretsmanager.GetSecretValue"
    answer = call(Call("secretsmanager", what, {"SecretId": name}, target=target))
    return _parse(answer.get("SecretString"), name)


def _parse(text: object, name: str) -> dict[str, dict[str, Secret]]:
    try:
        values = json.loads(text) if isinstance(text, str) else None
        return {
            provider if provider == _VARIABLES else full_name(provider): {
                field: Secret(str(value)) for field, value in fields.items()
            }
            for provider, fields in values.items()  # type: ignore[union-attr]
        }
    except (ValueError, AttributeError):
        raise AccessError(f"the secret {name} is not a JSON object of objects") from None
