"""The secrets of services: what they should hold, and Secrets Manager that holds them.

They never pass CloudFormation: a template only has a secret's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from bridge.deploy._faults import asked, code_of
from bridge.deploy.model import DEPLOYMENT_TAG, OWNER_TAG, Action, SecretStep
from bridge.errors import AccessError, BridgeError, NotFoundError
from bridge.fdl.model import Document, Service
from bridge.secret import Secret
from bridge.targets.aws.account import Account
from bridge.targets.aws.definitions import secret_name, secret_values
from bridge.targets.render import ProviderAccess

__all__ = ["all_secrets", "delete_secret", "secret_of", "secret_steps", "write_secret"]

# Secrets Manager's code when a secret waits for its deletion.
_WAITING: Final = "InvalidRequestException"
_SERVICE_TAG: Final = "oscar-bridge:service"
_RECOVERY_DAYS: Final = 7

Values = Mapping[str, Mapping[str, Secret]]


def all_secrets(document: Document) -> Iterator[Secret]:
    """Every secret of a file, to be kept out of what is shown."""
    for provider in document.providers.values():
        yield from provider.secrets.values()
    for service in document.services:
        yield from service.secrets.values()
    for cluster in document.clusters.values():
        if cluster.auth_password is not None:
            yield cluster.auth_password


def values_of(document: Document, service: Service) -> Values:
    """What a service's secret holds: the credentials of its providers and its secret variables."""
    access = {
        ref: ProviderAccess(provider.settings, provider.secrets)
        for ref, provider in document.providers.items()
    }
    return {
        ref: {name: Secret(value) for name, value in fields.items()}
        for ref, fields in secret_values(service, access).items()
    }


def secret_steps(
    account: Account, document: Document, services: Iterable[str], deployment: str
) -> Iterator[SecretStep]:
    """A step for each of these services whose secret is absent or holds something else."""
    for name in services:
        values = values_of(document, document.service(name))
        if not values:
            continue
        secret = secret_name(account.settings.name, name)
        action, why = _difference(account, secret, values)
        if action != "none":
            owner, us = OWNER_TAG
            tags = {owner: us, DEPLOYMENT_TAG: deployment, _SERVICE_TAG: name}
            yield SecretStep(secret, values, action, tags, why)


def _difference(account: Account, name: str, values: Values) -> tuple[Action, str]:
    try:
        with asked(account, "secretsmanager", f"secret {name}"):
            client = account.client("secretsmanager")
            found = client.get_secret_value(SecretId=name).get("SecretString", "")
    except NotFoundError:
        return "create", ""
    except AccessError:
        return "update", "its value cannot be read, so it is written"
    except BridgeError as error:
        if code_of(error.__cause__ or error) == _WAITING:
            return "create", "it was to be deleted, and is restored"
        raise
    return ("none", "") if found == _text(values) else ("update", "its value is another")


def _text(values: Values) -> str:
    plain = {
        ref: {name: one.reveal() for name, one in fields.items()} for ref, fields in values.items()
    }
    return json.dumps(plain, sort_keys=True)


def write_secret(account: Account, step: SecretStep) -> None:
    """Write the value, whatever is there."""
    client, text = account.client("secretsmanager"), _text(step.values)
    try:
        _put(account, step.name, text)
    except NotFoundError:
        tags = [{"Key": key, "Value": value} for key, value in step.tags.items()]
        with asked(account, "secretsmanager", f"secret {step.name}"):
            client.create_secret(Name=step.name, SecretString=text, Tags=tags)
    except BridgeError as error:
        if code_of(error.__cause__ or error) != _WAITING:
            raise
        with asked(account, "secretsmanager", f"secret {step.name}"):
            client.restore_secret(SecretId=step.name)
        _put(account, step.name, text)


def _put(account: Account, name: str, text: str) -> None:
    with asked(account, "secretsmanager", f"secret {name}"):
        account.client("secretsmanager").put_secret_value(SecretId=name, SecretString=text)


def secret_of(account: Account, service: str) -> str:
    """The name of a service's secret where there is one, else ""."""
    name = secret_name(account.settings.name, service)
    try:
        with asked(account, "secretsmanager", f"secret {name}"):
            found = account.client("secretsmanager").describe_secret(SecretId=name)
    except NotFoundError:
        return ""
    return "" if found.get("DeletedDate") else name


def delete_secret(account: Account, name: str) -> None:
    """Delete a secret, which can be restored for a week; nothing when it is not there."""
    try:
        with asked(account, "secretsmanager", f"secret {name}"):
            account.client("secretsmanager").delete_secret(
                SecretId=name, RecoveryWindowInDays=_RECOVERY_DAYS
            )
    except NotFoundError:
        return
    except BridgeError as error:
        if code_of(error.__cause__ or error) != _WAITING:
            raise
