"""Topics of an object store that has Amazon's SNS API beside S3's: Ceph's gateway.

A topic is told where to push events to. It can send no header of ours, so the token is in that
address; who may list the topics of the store's user can read it there.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from bridge.errors import StorageUnavailable
from bridge.secret import Secret
from bridge.storage.minio import ServerSettings

__all__ = ["ensure_topic", "pushed_to"]

_CONNECT: Final = 5.0
_ANSWER: Final = 15.0


def pushed_to(url: str, token: Secret) -> str:
    """Where a topic sends events to: the address of `/events`, with its token."""
    return f"{url}?token={quote(token.reveal(), safe='')}"


def ensure_topic(settings: ServerSettings, name: str, url: str, token: Secret) -> str:
    """Make the topic that sends events to `url`, or make it do so; its ARN.

    Events are kept by the store until they are taken (`persistent`). StorageUnavailable where there
    is no such API, and when it does not let us.
    """
    try:
        found: dict[str, Any] = _client(settings).create_topic(
            Name=name,
            Attributes={"push-endpoint": pushed_to(url, token), "persistent": "true"},
        )
        return str(found["TopicArn"])
    except Exception as error:
        # Whatever a server says that does not know the request: boto has no one class for it.
        raise StorageUnavailable(
            f"the object store has no topics for us: {type(error).__name__}",
            hint="Ceph's gateway has them where rgw_enable_apis holds notifications",
        ) from None


def _client(settings: ServerSettings) -> Any:
    import boto3  # noqa: PLC0415  heavy, and an extra
    from botocore.config import Config  # noqa: PLC0415

    return boto3.client(
        "sns",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=settings.access_key.reveal(),
        aws_secret_access_key=settings.secret_key.reveal(),
        verify=settings.verify,
        config=Config(
            connect_timeout=_CONNECT, read_timeout=_ANSWER, retries={"total_max_attempts": 2}
        ),
    )
