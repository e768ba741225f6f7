"""Amazon ECR: its registry's credentials, and repositories that exist before a push."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from bridge.errors import AccessError, BridgeError, MissingToolError, PermanentError, TemporaryError
from bridge.images.model import Credentials, Reference
from bridge.secret import Secret

__all__ = ["Ecr", "is_ecr", "region_of"]

_HOST: Final = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\."
    r"(?:amazonaws\.com(?:\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn)"
)
_TEMPORARY: Final = frozenset(
    {"ServerException", "ServiceUnavailable", "ThrottlingException", "TooManyRequestsException"}
)
_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "UnrecognizedClientException",
    }
)

ClientOf = Callable[[str], Any]
"""A boto3 client of ECR for a region."""


def is_ecr(registry: str) -> bool:
    """Whether a registry's host is a private ECR registry."""
    return _HOST.fullmatch(registry) is not None


def region_of(registry: str) -> str:
    """The region of an ECR registry, "" of another."""
    found = _HOST.fullmatch(registry)
    return found["region"] if found else ""


class Ecr:
    """ECR through boto3. `client_of` gives the client for a region: by default one of the ambient
    credentials."""

    def __init__(self, client_of: ClientOf | None = None) -> None:
        self._client_of = client_of or _ambient

    def credentials(self, registry: str) -> Credentials:
        """Credentials for the registry, good for twelve hours.

        AccessError when AWS refuses, TemporaryError when it cannot be reached.
        """
        with _translated("ecr:GetAuthorizationToken"):
            answer = self._client(registry).get_authorization_token()
        coded = answer["authorizationData"][0]["authorizationToken"]
        user, _, password = base64.b64decode(coded).decode().partition(":")
        return Credentials(user, Secret(password))

    def ensure_repository(self, image: Reference) -> bool:
        """Create the image's repository unless it is there; True when it was made now.

        Its tags can never be moved: they are names of content.
        """
        client, name = self._client(image.registry), image.repository
        with _translated(f"ECR repository {name}"):
            try:
                client.describe_repositories(repositoryNames=[name])
                return False
            except client.exceptions.RepositoryNotFoundException:
                pass
            try:
                client.create_repository(
                    repositoryName=name,
                    imageTagMutability="IMMUTABLE",
                    tags=[{"Key": "createdby", "Value": "oscar-bridge"}],
                )
            except client.exceptions.RepositoryAlreadyExistsException:
                return False
        return True

    def _client(self, registry: str) -> Any:
        return self._client_of(region_of(registry))


def _ambient(region: str) -> Any:
    try:
        import boto3  # noqa: PLC0415  (heavy, and an extra)
    except ImportError as error:
        raise MissingToolError(
            "Amazon ECR needs boto3", hint="pip install 'oscar-bridge[aws]'"
        ) from error
    return boto3.client("ecr", region_name=region or None)


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn botocore's errors into ours."""
    from botocore import exceptions as aws  # noqa: PLC0415  (heavy, and an extra)

    try:
        yield
    except aws.ClientError as error:
        raise _of_answer(error.response.get("Error", {}), what) from error
    except (aws.NoCredentialsError, aws.PartialCredentialsError) as error:
        raise AccessError(
            f"{what}: no usable AWS credentials",
            hint="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ) from error
    except aws.BotoCoreError as error:
        raise TemporaryError(f"{what}: {error}") from error


def _of_answer(error: dict[str, str], what: str) -> BridgeError:
    code = error.get("Code", "")
    message = f"{what}: {error.get('Message') or 'refused'} [{code}]"
    if code in _DENIED:
        return AccessError(message, hint=f"the credentials in use lack a permission for {what}")
    return TemporaryError(message) if code in _TEMPORARY else PermanentError(message)
