"""A MinIO server beside the data path: its buckets, and the rules that say what becomes an event.

Importing this module raises MissingToolError where the package minio is not installed.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

from bridge.errors import (
    AccessError,
    MissingToolError,
    NotFoundError,
    PermanentError,
    StorageUnavailable,
    UsageError,
)
from bridge.secret import Secret
from bridge.storage.protocol import ObjectInfo

try:
    from minio import Minio
    from minio.error import InvalidResponseError, MinioException, S3Error
    from minio.notificationconfig import (
        NotificationConfig,
        PrefixFilterRule,
        QueueConfig,
        SuffixFilterRule,
        TopicConfig,
    )
    from urllib3 import PoolManager, Retry, Timeout
    from urllib3.exceptions import HTTPError
except ImportError as missing:
    raise MissingToolError(
        "MinIO servers need the Python package 'minio'",
        hint="pip install 'oscar-bridge[manager]'",
    ) from missing

__all__ = ["MinioServer", "Rule", "ServerSettings", "SilentError"]

_CREATED: Final = "s3:ObjectCreated:*"
_ANSWER: Final = re.compile(r"<(Code|Message)>([^<]*)</")
_ABSENT: Final = frozenset({"NoSuchBucket", "NoSuchKey"})
_DENIED: Final = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"})
# What servers say that take no rules, or none for our target.
_SILENT: Final = frozenset(
    {"MalformedXML", "MethodNotAllowed", "NotImplemented", "NotSupported", "UnsupportedOperation"}
)
_PRESENT: Final = frozenset({"BucketAlreadyExists", "BucketAlreadyOwnedByYou"})


class SilentError(PermanentError):
    """A server sends no events of a bucket: whoever needs them must list it."""

    code = "silent"


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """New objects of the bucket whose key has this prefix and this suffix become events."""

    bucket: str
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How to reach a server. `webhook` is the name of its webhook target that is ours, or "";
    `topic` the ARN of the topic that takes its place where a server has topics."""

    endpoint: str
    access_key: Secret
    secret_key: Secret
    region: str = "us-east-1"
    verify: bool = True
    webhook: str = ""
    topic: str = ""


class MinioServer:
    """Buckets, rules and listings of one server. Thread-safe.

    Methods raise StorageUnavailable, AccessError or NotFoundError; UsageError for a bad name.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._client: Minio | None = None
        self._rules = threading.Lock()

    def provider(self) -> tuple[Mapping[str, str | bool], Mapping[str, Secret]]:
        """Settings and secrets of a `minio` storage provider that is this server."""
        own = self.settings
        settings: dict[str, str | bool] = {
            "endpoint": own.endpoint,
            "region": own.region,
            "verify": own.verify,
        }
        return settings, {"access_key": own.access_key, "secret_key": own.secret_key}

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
            except (S3Error, InvalidResponseError) as error:
                if _said(error)[0] not in _PRESENT:
                    raise

    def remove_bucket(self, bucket: str) -> None:
        """Remove the bucket with everything in it; NotFoundError when it is not there."""
        with _translated(f"bucket {bucket!r}"):
            client = self._minio()
            folders: set[str] = set()
            for item in client.list_objects(bucket, recursive=True):
                name = item.object_name or ""
                client.remove_object(bucket, name)
                folders |= set(_folders(name))
            # Some servers keep the folders that objects were in.
            for folder in sorted(folders, key=len, reverse=True):
                client.remove_object(bucket, folder)
            client.remove_bucket(bucket)

    def ensure_folder(self, bucket: str, folder: str) -> None:
        """Make the folder visible in clients that list folders, by an empty object."""
        with _translated(f"{bucket}/{folder}"):
            client = self._minio()
            client.put_object(bucket, f"{folder}/", BytesIO(), 0)
            # A server that keeps files has made one of it, which no folder could stand beside.
            there = client.list_objects(bucket, prefix=folder)
            if any(one.object_name == folder for one in there):
                client.remove_object(bucket, folder)

    def presign(
        self, bucket: str, key: str, operation: Literal["upload", "download"], seconds: int
    ) -> str:
        """A URL that does one operation on one object for so long, without credentials."""
        with _translated(f"{bucket}/{key}"):
            client = self._minio()
            make = (
                client.presigned_put_object
                if operation == "upload"
                else client.presigned_get_object
            )
            return str(make(bucket, key, expires=timedelta(seconds=seconds)))

    def ensure_rules(self, rules: Iterable[Rule]) -> None:
        """Make these the rules that feed our webhook, in every bucket that they name.

        Our other rules in those buckets go, rules of other targets stay, other buckets are left
        alone. Idempotent. UsageError without a webhook, NotFoundError when a bucket is not there,
        SilentError when the server does not keep the rules.
        """
        by_bucket: dict[str, set[Rule]] = {}
        for rule in rules:
            by_bucket.setdefault(rule.bucket, set()).add(rule)
        if by_bucket and not (self.settings.webhook or self.settings.topic):
            raise UsageError("the object store is without a webhook for its events")
        for bucket, wanted in sorted(by_bucket.items()):
            self._replace_rules(bucket, wanted)

    def remove_rules(self, bucket: str) -> None:
        """Take our rules out of the bucket; no error when it or they are not there."""
        try:
            self._replace_rules(bucket, set())
        except (NotFoundError, SilentError):
            return

    def rules(self, bucket: str) -> tuple[Rule, ...]:
        """Our rules that are in the bucket, sorted."""
        with _translated(f"rules of bucket {bucket!r}"):
            config = self._minio().get_bucket_notification(bucket)
        there: list[QueueConfig | TopicConfig] = [
            *config.queue_config_list,
            *config.topic_config_list,
        ]
        return tuple(sorted(_rule(bucket, one) for one in there if self._is_ours(one)))

    def put_again(self) -> None:
        """Put the rules of every bucket as they are.

        A server that has just started is silent about rules that it read too early. Rules whose
        target is gone (another webhook) would be refused; without one they are left alone.
        """
        if not self.settings.webhook:
            return
        for bucket in self.buckets():
            with _translated(f"rules of bucket {bucket!r}"):
                config = self._minio().get_bucket_notification(bucket)
                if config.queue_config_list:
                    self._put(bucket, config, config.queue_config_list, config.topic_config_list)

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

    def _is_ours(self, one: QueueConfig | TopicConfig) -> bool:
        if isinstance(one, TopicConfig):
            return bool(self.settings.topic) and one.topic == self.settings.topic
        # The ARN may name the server's region or not.
        return (one.queue or "").endswith(f":{self.settings.webhook}:webhook")

    @property
    def _arn(self) -> str:
        return f"arn:minio:sqs::{self.settings.webhook}:webhook"

    def _replace_rules(self, bucket: str, wanted: set[Rule]) -> None:
        # Read, change, write: not twice at once.
        with self._rules, _translated(f"rules of bucket {bucket!r}"), _silent(bucket):
            config = self._minio().get_bucket_notification(bucket)
            queues = [one for one in config.queue_config_list if not self._is_ours(one)]
            topics = [one for one in config.topic_config_list if not self._is_ours(one)]
            if topic := self.settings.topic:
                topics += [_topic(rule, topic, n) for n, rule in enumerate(sorted(wanted))]
            else:
                queues += [_queue(rule, self._arn) for rule in sorted(wanted)]
            self._put(bucket, config, queues, topics)
        # Some servers take a request that they do not know for another one, and say yes.
        if wanted != set(self.rules(bucket)):
            raise _no_events(bucket)

    def _put(
        self,
        bucket: str,
        config: NotificationConfig,
        queues: list[QueueConfig],
        topics: list[TopicConfig],
    ) -> None:
        functions = config.cloud_func_config_list
        self._minio().set_bucket_notification(bucket, NotificationConfig(functions, queues, topics))

    def _minio(self) -> Minio:
        if self._client is None:
            self._client = _connect(self.settings)
        return self._client


def _connect(settings: ServerSettings) -> Minio:
    scheme, _, host = settings.endpoint.rpartition("://")
    return Minio(
        host.rstrip("/"),
        access_key=settings.access_key.reveal(),
        secret_key=settings.secret_key.reveal(),
        secure=scheme == "https",
        region=settings.region,
        cert_check=settings.verify,
        http_client=PoolManager(
            timeout=Timeout(connect=5, read=60),
            maxsize=32,
            cert_reqs="CERT_REQUIRED" if settings.verify else "CERT_NONE",
            retries=Retry(total=3, backoff_factor=0.1, status_forcelist=(500, 502, 503, 504)),
        ),
    )


def _folders(key: str) -> Iterator[str]:
    at = key.find("/", 1)
    while at > 0:
        yield key[: at + 1]
        at = key.find("/", at + 1)


def _queue(rule: Rule, arn: str) -> QueueConfig:
    return QueueConfig(
        events=[_CREATED],
        prefix_filter_rule=PrefixFilterRule(rule.prefix) if rule.prefix else None,
        suffix_filter_rule=SuffixFilterRule(rule.suffix) if rule.suffix else None,
        queue=arn,
    )


def _topic(rule: Rule, arn: str, number: int) -> TopicConfig:
    return TopicConfig(
        events=[_CREATED],
        config_id=f"oscar-bridge-{number}",
        prefix_filter_rule=PrefixFilterRule(rule.prefix) if rule.prefix else None,
        suffix_filter_rule=SuffixFilterRule(rule.suffix) if rule.suffix else None,
        topic=arn,
    )


def _rule(bucket: str, one: QueueConfig | TopicConfig) -> Rule:
    prefix, suffix = one.prefix_filter_rule, one.suffix_filter_rule
    return Rule(bucket, prefix.value if prefix else "", suffix.value if suffix else "")


def _no_events(bucket: str) -> SilentError:
    return SilentError(f"the object store sends no events of bucket {bucket!r}")


@contextmanager
def _silent(bucket: str) -> Iterator[None]:
    """Tell a server that sends no events from one that cannot answer now."""
    try:
        yield
    except (S3Error, InvalidResponseError) as error:
        code, message = _said(error)
        # So MinIO and others answer rules for a target that they do not know.
        unknown = code == "InvalidArgument" and "ARN" in message
        # So do those who take the request for one that makes a bucket.
        if unknown or code in _SILENT | _PRESENT:
            raise _no_events(bucket) from error
        raise


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn minio's and urllib3's errors into ours."""
    try:
        yield
    except S3Error as error:
        raise _ours(what, *_said(error)) from error
    except InvalidResponseError as error:
        code, message = _said(error)
        raise _ours(what, code, message or str(error)) from error
    except (HTTPError, MinioException) as error:
        raise StorageUnavailable(f"{what}: the object store did not answer: {error}") from error
    except ValueError as error:
        raise UsageError(f"{what}: {error}") from error


def _said(error: S3Error | InvalidResponseError) -> tuple[str, str]:
    """Code and message of an answer, "" for what it has not. Some servers give XML another name, so
    that minio leaves it unread."""
    if isinstance(error, S3Error):
        return error.code or "", error.message or ""
    found = dict(_ANSWER.findall(str(error)))
    return found.get("Code", ""), found.get("Message", "")


def _ours(what: str, code: str, message: str) -> PermanentError | StorageUnavailable:
    if code in _ABSENT:
        return NotFoundError(f"{what} is not in the object store")
    if code in _DENIED:
        return AccessError(f"{what}: the object store refused the credentials ({code})")
    return StorageUnavailable(f"{what}: the object store answered {code}: {message}")
