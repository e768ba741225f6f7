"""One AWS account and region as the targets see it: clients, names and what they share."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

from bridge.errors import (
    AccessError,
    BridgeError,
    MissingToolError,
    NotFoundError,
    PermanentError,
    TargetUnavailable,
)
from bridge.secret import Secret
from bridge.targets.aws._localstack import KEYS, localstack_endpoint

if TYPE_CHECKING:
    from bridge.storage.claims import Claims

__all__ = ["Account", "AccountSettings"]

_ABSENT: Final = frozenset(
    {
        "404",
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchBucket",
        "NoSuchKey",
        "ParameterNotFound",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
    }
)
_DENIED: Final = frozenset(
    {
        "403",
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_PASSING: Final = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ResourceConflictException",
        "ServerException",
        "ServiceException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)

# Where S3 has an address of its own, its buckets have no names in the DNS.
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_PATIENT: Final = {"mode": "adaptive", "total_max_attempts": 12}

_LONGEST_NAME: Final = 64  # of a function; a job definition's may be longer
_SERVER_ERROR: Final = 500
_TOO_MANY: Final = 429


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """How to reach an account, and what the deployment in it is called.

    `endpoint` is a URL, or "" for what the environment says: AWS_ENDPOINT_URL, else LocalStack's
    where OSCAR_BRIDGE_LOCALSTACK is 1, else AWS. `credentials` are boto3's own names
    (`aws_access_key_id`, …); empty for the ambient chain. `role` is the ARN that functions and jobs
    run under unless the FDL names one. `poll` is the least number of seconds between two looks at
    the state of jobs. `patient` is for what may take long: calls slow down when they are throttled,
    and try more often. `bucket` is the work bucket's name, "" for the usual one. `prefix` begins
    the names of functions and job definitions, which are the services' own without it.
    """

    name: str = "oscar-bridge"
    region: str = "us-east-1"
    profile: str = ""
    endpoint: str = ""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    role: str = ""
    poll: float = 5.0
    patient: bool = False
    bucket: str = ""
    prefix: str = ""


class Account:
    """Clients for one account and region, and the few things that all services there share.

    Shared: a work bucket (rendered services, large events, job reports) and two SQS queues, one for
    events that S3 sends and one for news of asynchronous invocations. `prepare` makes them and is
    idempotent. Safe to use from several threads. The settings may be given by a function, which is
    called when they are needed first.
    """

    def __init__(self, settings: AccountSettings | Callable[[], AccountSettings]) -> None:
        self._given = settings
        if isinstance(settings, AccountSettings):
            _ = self.settings
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._session: Any = None
        self._id = ""
        self._queues: dict[str, tuple[str, str]] = {}
        self._claims: tuple[object, Claims] | None = None

    @cached_property
    def settings(self) -> AccountSettings:
        """How it is reached."""
        given = self._given
        settings = given if isinstance(given, AccountSettings) else given()
        if settings.endpoint or not (found := localstack_endpoint(os.environ)):
            return settings
        return replace(settings, endpoint=found, credentials=settings.credentials or KEYS)

    @property
    def region(self) -> str:
        """The region that everything is made in."""
        return self.settings.region

    @property
    def id(self) -> str:
        """The twelve-digit account id, asked once."""
        if not self._id:
            with translated("sts:GetCallerIdentity"):
                self._id = self.client("sts").get_caller_identity()["Account"]
        return self._id

    @property
    def bucket(self) -> str:
        """Name of the work bucket: it must be unique in the world, so it carries the account."""
        return self.settings.bucket or f"{self.settings.name}-{self.id}-{self.region}"

    def name_of(self, service: str) -> str:
        """What a service's function and job definition are called: always the same."""
        name = f"{self.settings.prefix}{service}"
        if len(name) <= _LONGEST_NAME:
            return name
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        return f"{name[: _LONGEST_NAME - 9]}-{digest}"

    @property
    def s3_endpoint(self) -> str:
        """Where its S3 is; "" for AWS's own."""
        said = (os.environ.get(name, "") for name in _ENDPOINTS)
        return self.settings.endpoint or next(filter(None, said), "")

    def client(self, service: str) -> Any:
        """The boto3 client of a service, made once."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make_client(service)
            return self._clients[service]

    def asking_once(self, service: str, timeout: float) -> Any:
        """A client of its own, which waits `timeout` seconds for an answer and never asks again."""
        return self._make_client(
            service,
            retries={"mode": "standard", "total_max_attempts": 1},
            read_timeout=timeout,
            tcp_keepalive=True,
        )

    def _make_client(self, service: str, **settings: Any) -> Any:
        try:
            import boto3
            from botocore.config import Config
            from botocore.session import Session
        except ImportError as error:
            raise MissingToolError(
                "AWS targets need boto3", hint="pip install 'oscar-bridge[aws]'"
            ) from error
        if self._session is None:
            profile = self.settings.profile or None
            core = Session(profile=profile)
            with translated("AWS session"):
                self._session = boto3.Session(botocore_session=core, **self.settings.credentials)
            core.register_component("data_loader", descriptions())
        s3 = {"addressing_style": "path"} if self.s3_endpoint else {}
        config = Config(
            retries=_PATIENT if self.settings.patient else {"mode": "standard"},
            max_pool_connections=32,
            s3=s3,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return self._session.client(
            service,
            region_name=self.region,
            endpoint_url=self.settings.endpoint or None,
            config=config.merge(Config(**settings)),
        )

    def prepare(self) -> None:
        """Make what services share, where it is absent."""
        self.ensure_bucket(self.bucket)
        for kind in ("events", "states"):
            self.queue(kind)

    def ensure_bucket(self, name: str) -> bool:
        """Create the bucket unless it is there; True when it was made now."""
        client = self.client("s3")
        try:
            with translated(f"bucket {name}"):
                client.head_bucket(Bucket=name)
            return False
        except NotFoundError:
            pass
        where = {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        with translated(f"create bucket {name}"):
            client.create_bucket(Bucket=name, **({} if self.region == "us-east-1" else where))
        return True

    def queue(self, kind: str) -> tuple[str, str]:
        """URL and ARN of one of our queues, made when absent."""
        with self._lock:
            known = self._queues.get(kind)
        if known:
            return known
        client = self.client("sqs")
        name = f"{self.settings.name}-{kind}"
        with translated(f"queue {name}"):
            url = client.create_queue(QueueName=name)["QueueUrl"]
            arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        found = (url, arn["Attributes"]["QueueArn"])
        if kind == "events":
            self._let_s3_send(url, found[1])
        with self._lock:
            self._queues[kind] = found
        return found

    def _let_s3_send(self, url: str, arn: str) -> None:
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "s3.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": arn,
                    "Condition": {"StringEquals": {"aws:SourceAccount": self.id}},
                }
            ],
        }
        with translated(f"policy of {arn}"):
            self.client("sqs").set_queue_attributes(
                QueueUrl=url, Attributes={"Policy": json.dumps(policy)}
            )

    def put(self, key: str, body: bytes) -> str:
        """Write one object into the work bucket; the answer is its s3:// URL."""
        with translated(f"s3://{self.bucket}/{key}"):
            self.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def get(self, key: str) -> bytes | None:
        """Read one object of the work bucket, None when it is not there."""
        try:
            with translated(f"s3://{self.bucket}/{key}"):
                body: bytes = (
                    self.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
                )
        except NotFoundError:
            return None
        return body

    def put_service(self, document: Mapping[str, Any], script: str | None) -> str:
        """Write a rendered service; the answer is the s3:// prefix, named by its content."""
        rendered = json.dumps(document, sort_keys=True).encode()
        digest = hashlib.sha256(rendered + b"\0" + (script or "").encode()).hexdigest()[:32]
        prefix = f"services/{digest}/"
        self.put(f"{prefix}service.json", rendered)
        if script is not None:
            self.put(f"{prefix}script.sh", script.encode())
        return f"s3://{self.bucket}/{prefix}"

    def report(self, job: str) -> dict[str, Any]:
        """The supervisor's report of a job; empty when it has not written one."""
        body = self.get(f"reports/{job}.json")
        if body is None:
            return {}
        report: dict[str, Any] = json.loads(body)
        return report

    def store_secrets(self) -> dict[str, Secret]:
        """The credentials of this moment in the words of `bridge.storage`; empty without any."""
        self.client("s3")  # makes the session
        with translated("credentials"):
            found = self._session.get_credentials()
        if found is None:
            return {}
        pair = found.get_frozen_credentials()
        secrets = {"access_key": Secret(pair.access_key), "secret_key": Secret(pair.secret_key)}
        return secrets | ({"session_token": Secret(pair.token)} if pair.token else {})

    @property
    def claims(self) -> Claims:
        """Which run has an attempt of a job, with this account's credentials at this moment."""
        from bridge.storage.claims import Claims

        secrets = self.store_secrets()
        settings = {"endpoint": self.settings.endpoint, "region": self.region}
        key = (tuple(sorted((name, one.reveal()) for name, one in secrets.items())),)
        # Not below the lock: who does not know the account yet asks for it.
        url = self.claims_url
        with self._lock:
            if self._claims is None or self._claims[0] != key:
                self._claims = (key, Claims(url, settings, secrets))
            return self._claims[1]

    @property
    def claims_url(self) -> str:
        """The s3:// prefix under which runs say which attempts they have."""
        return f"s3://{self.bucket}/runs/"

    @property
    def reports(self) -> str:
        """The s3:// prefix under which supervisors write their reports."""
        return f"s3://{self.bucket}/reports/"


@cache
def descriptions() -> Any:
    """What describes the services: megabytes of JSON, read once for all accounts."""
    from botocore.session import Session

    return Session().get_component("data_loader")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn botocore's errors into ours, with what was being done in the message."""
    from botocore import exceptions as aws

    try:
        yield
    except aws.ClientError as error:
        raise _of_client(error, what) from error
    except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.ProfileNotFound) as error:
        raise AccessError(
            f"{what}: no usable AWS credentials ({error})",
            hint="set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in with SSO",
        ) from error
    except aws.BotoCoreError as error:
        raise TargetUnavailable(f"{what}: {error}") from error


def _of_client(error: Any, what: str) -> BridgeError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    text = str(error.response.get("Error", {}).get("Message", "")) or code
    message = f"{what}: {text} [{code}]"
    if code in _ABSENT:
        return NotFoundError(message)
    if code in _DENIED:
        return AccessError(message, hint=f"the credentials in use lack a permission for {what}")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _PASSING or status >= _SERVER_ERROR or status == _TOO_MANY:
        return TargetUnavailable(message)
    return PermanentError(message)
