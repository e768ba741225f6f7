"""The local object store: MinIO's S3 API and bucket notifications, from one program.

Data path: `bridge.storage` (see `ObjectStore.provider`). Here is what it cannot do: the server's
life, buckets, and the rules that say which objects become events.
Importing this module raises MissingToolError where the package minio is not installed.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bridge.errors import (
    AccessError,
    MissingToolError,
    NotFoundError,
    PermanentError,
    StorageUnavailable,
    UsageError,
)
from bridge.local._gateway import REGION, WEBHOOK, Credentials, Gateway, Webhook, stored_credentials
from bridge.secret import Secret
from bridge.storage.protocol import ObjectInfo

try:
    from minio import Minio
    from minio.error import MinioException, S3Error
    from minio.notificationconfig import (
        NotificationConfig,
        PrefixFilterRule,
        QueueConfig,
        SuffixFilterRule,
    )
    from urllib3 import PoolManager, Retry, Timeout
    from urllib3.exceptions import HTTPError
except ImportError as missing:
    raise MissingToolError(
        "the local object store needs the Python package 'minio'",
        hint="pip install 'oscar-bridge[local]'",
    ) from missing

__all__ = ["Credentials", "ObjectStore", "Rule", "Webhook"]

_TARGET: Final = f"arn:minio:sqs::{WEBHOOK}:webhook"
_CREATED: Final = "s3:ObjectCreated:*"
_ABSENT: Final = frozenset({"NoSuchBucket", "NoSuchKey"})
_DENIED: Final = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"})
_PRESENT: Final = frozenset({"BucketAlreadyExists", "BucketAlreadyOwnedByYou"})


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """New objects of the bucket whose key has this prefix and this suffix become events."""

    bucket: str
    prefix: str = ""
    suffix: str = ""


class ObjectStore:
    """One server on one data folder, bound to `address` (loopback, or the container bridge).

    `webhook` gets the events and must answer when `start` is called; without it there are none.
    Credentials are generated with the folder and kept in it. A store that was killed starts again
    on the same folder with its objects and rules, by the same object on the same port.
    Methods raise StorageUnavailable, AccessError or NotFoundError; UsageError for a bad name.
    """

    def __init__(
        self,
        folder: Path,
        webhook: Webhook | None = None,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.credentials = stored_credentials(folder.resolve())
        self._webhook = webhook
        self._gateway = Gateway(folder.resolve(), self.credentials, webhook, address, port)
        self._client: Minio | None = None
        self._rules = threading.Lock()

    @property
    def endpoint(self) -> str:
        """URL for programs on this machine; known after `start`."""
        return f"http://{self._gateway.address}:{self._gateway.port}"

    @property
    def container_endpoint(self) -> str | None:
        """URL for containers; None when bound to loopback, which they cannot reach."""
        loopback = ipaddress.ip_address(self._gateway.address).is_loopback
        return None if loopback else self.endpoint

    @property
    def alive(self) -> bool:
        """True while the server's process runs."""
        return self._gateway.alive

    @property
    def pid(self) -> int | None:
        """Process id of the server, None before the first start."""
        return self._gateway.pid

    def provider(self) -> tuple[Mapping[str, str | bool], Mapping[str, Secret]]:
        """Settings and secrets of a `minio` storage provider that is this store."""
        settings: dict[str, str | bool] = {
            "endpoint": self.endpoint,
            "region": REGION,
            "verify": False,
        }
        access_key = Secret(self.credentials.access_key)
        return settings, {"access_key": access_key, "secret_key": self.credentials.secret_key}

    def start(self) -> None:
        """Run the server if it does not; returns when it answers and every rule is in force."""
        if self._gateway.alive:
            return
        self._client = None
        self._gateway.start()
        for bucket in self.buckets():
            self._put_again(bucket)

    def close(self) -> None:
        """Stop the server; the data folder stays."""
        self._client = None
        self._gateway.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def buckets(self) -> list[str]:
        """Names of all buckets, sorted."""
        with _translated("the object store"):
            return sorted(bucket.name for bucket in self._minio().list_buckets())

    def has_bucket(self, bucket: str) -> bool:
        """True when the bucket exists."""
        with _translated(f"bucket {bucket!r}"):
            return self._minio().bucket_exists(bucket)

    def ensure_bucket(self, bucket: str) -> None:
        """Make the bucket unless it is there."""
        with _translated(f"bucket {bucket!r}"):
            try:
                self._minio().make_bucket(bucket)
            except S3Error as error:
                if error.code not in _PRESENT:
                    raise

    def ensure_rules(self, rules: Iterable[Rule]) -> None:
        """Make these the rules that feed our webhook, in every bucket that they name.

        Our other rules in those buckets go, rules of other targets stay, other buckets are left
        alone. Idempotent. UsageError without a webhook, NotFoundError when a bucket is not there.
        """
        by_bucket: dict[str, set[Rule]] = {}
        for rule in rules:
            by_bucket.setdefault(rule.bucket, set()).add(rule)
        if by_bucket and self._webhook is None:
            raise UsageError("this object store was started without a webhook for its events")
        for bucket, wanted in sorted(by_bucket.items()):
            self._replace_rules(bucket, wanted)

    def remove_rules(self, bucket: str) -> None:
        """Take our rules out of the bucket; no error when it or they are not there."""
        try:
            self._replace_rules(bucket, set())
        except NotFoundError:
            return

    def rules(self, bucket: str) -> tuple[Rule, ...]:
        """Our rules that are in the bucket, sorted."""
        with _translated(f"rules of bucket {bucket!r}"):
            there = self._minio().get_bucket_notification(bucket).queue_config_list
        return tuple(sorted(_rule(bucket, queue) for queue in there if queue.queue == _TARGET))

    def listing(
        self, bucket: str, prefix: str = "", *, start_after: str = ""
    ) -> Iterator[ObjectInfo]:
        """Objects of the bucket in key order, folder markers left out; fetched page by page."""
        with _translated(f"bucket {bucket!r}"):
            for item in self._minio().list_objects(
                bucket, prefix=prefix, recursive=True, start_after=start_after or None
            ):
                name = item.object_name or ""
                if not name.endswith("/"):
                    modified = "" if item.last_modified is None else item.last_modified.isoformat()
                    etag = (item.etag or "").strip('"')
                    yield ObjectInfo(bucket, name, item.size or 0, etag, modified=modified)

    def upload(self, bucket: str, key: str, source: Path) -> None:
        """Store a file, streamed; multipart when large."""
        with _translated(f"{bucket}/{key}"):
            self._minio().fput_object(bucket, key, str(source))

    def download(self, bucket: str, key: str, target: Path) -> None:
        """Write an object to a file; folders of `target` are made."""
        with _translated(f"{bucket}/{key}"):
            self._minio().fget_object(bucket, key, str(target))

    def _replace_rules(self, bucket: str, wanted: set[Rule]) -> None:
        # Read, change, write: not twice at once.
        with self._rules, _translated(f"rules of bucket {bucket!r}"):
            config = self._minio().get_bucket_notification(bucket)
            others = [queue for queue in config.queue_config_list if queue.queue != _TARGET]
            ours = [_queue(rule) for rule in sorted(wanted)]
            self._put(bucket, config, others + ours)

    def _put_again(self, bucket: str) -> None:
        """Put what is there: a rule that was read too early after the start is silent until then.

        Rules whose target is gone (another webhook) would be refused, so they are left alone.
        """
        with _translated(f"rules of bucket {bucket!r}"):
            config = self._minio().get_bucket_notification(bucket)
            if self._webhook is not None and config.queue_config_list:
                self._put(bucket, config, config.queue_config_list)

    def _put(self, bucket: str, config: NotificationConfig, queues: list[QueueConfig]) -> None:
        topics, functions = config.topic_config_list, config.cloud_func_config_list
        self._minio().set_bucket_notification(bucket, NotificationConfig(functions, queues, topics))

    def _minio(self) -> Minio:
        if self._client is None:
            self._client = _connect(self.endpoint, self.credentials)
        return self._client


def _connect(endpoint: str, credentials: Credentials) -> Minio:
    return Minio(
        endpoint.removeprefix("http://"),
        access_key=credentials.access_key,
        secret_key=credentials.secret_key.reveal(),
        secure=False,
        region=REGION,
        http_client=PoolManager(
            timeout=Timeout(connect=5, read=60),
            maxsize=32,
            retries=Retry(total=3, backoff_factor=0.1, status_forcelist=(500, 502, 503, 504)),
        ),
    )


def _queue(rule: Rule) -> QueueConfig:
    return QueueConfig(
        events=[_CREATED],
        prefix_filter_rule=PrefixFilterRule(rule.prefix) if rule.prefix else None,
        suffix_filter_rule=SuffixFilterRule(rule.suffix) if rule.suffix else None,
        queue=_TARGET,
    )


def _rule(bucket: str, queue: QueueConfig) -> Rule:
    prefix, suffix = queue.prefix_filter_rule, queue.suffix_filter_rule
    return Rule(bucket, prefix.value if prefix else "", suffix.value if suffix else "")


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn minio's and urllib3's errors into ours."""
    try:
        yield
    except S3Error as error:
        raise _ours(what, error.code, error.message or "") from error
    except (HTTPError, MinioException) as error:
        raise StorageUnavailable(f"{what}: the object store did not answer: {error}") from error
    except ValueError as error:
        raise UsageError(f"{what}: {error}") from error


def _ours(what: str, code: str | None, message: str) -> PermanentError | StorageUnavailable:
    if code in _ABSENT:
        return NotFoundError(f"{what} is not in the object store")
    if code in _DENIED:
        return AccessError(f"{what}: the object store refused the credentials ({code})")
    return StorageUnavailable(f"{what}: the object store answered {code}: {message}")
