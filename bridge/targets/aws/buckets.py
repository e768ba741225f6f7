"""S3 buckets: made when absent, their notifications merged with what is there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from bridge.pipeline import NotificationRule
from bridge.storage.protocol import ObjectInfo
from bridge.targets.aws.account import Account, translated

__all__ = ["Buckets"]

_CONFIGS: Final = (
    "QueueConfigurations",
    "LambdaFunctionConfigurations",
    "TopicConfigurations",
    "EventBridgeConfiguration",
)


class Buckets:
    """Buckets, notification rules and listings of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def ensure(self, name: str) -> bool:
        """Create the bucket unless it is there; True when it was made now."""
        return self._account.ensure_bucket(name)

    def ensure_rules(self, bucket: str, rules: Iterable[NotificationRule]) -> None:
        """Send the rules' events to our queue; what others have configured on the bucket stays."""
        arn = self._account.queue("events")[1]
        client = self._account.client("s3")
        with translated(f"notifications of {bucket}"):
            there = client.get_bucket_notification_configuration(Bucket=bucket)
        kept = {name: there[name] for name in _CONFIGS if name in there}
        foreign = [c for c in kept.get("QueueConfigurations", []) if c["QueueArn"] != arn]
        kept["QueueConfigurations"] = foreign + [_rule(arn, rule) for rule in rules]
        with translated(f"notifications of {bucket}"):
            client.put_bucket_notification_configuration(
                Bucket=bucket, NotificationConfiguration=kept
            )

    def listing(self, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        """Objects under a prefix, in key order."""
        pages = self._account.client("s3").get_paginator("list_objects_v2")
        with translated(f"list s3://{bucket}/{prefix}"):
            for page in pages.paginate(Bucket=bucket, Prefix=prefix):
                for found in page.get("Contents", []):
                    if not found["Key"].endswith("/"):
                        yield ObjectInfo(
                            bucket,
                            found["Key"],
                            found["Size"],
                            etag=found["ETag"].strip('"'),
                            modified=found["LastModified"].isoformat(),
                        )


def _rule(arn: str, rule: NotificationRule) -> dict[str, Any]:
    filters = [("prefix", rule.prefix), ("suffix", rule.suffix)]
    rules = [{"Name": name, "Value": value} for name, value in filters if value]
    config: dict[str, Any] = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
    return config | ({"Filter": {"Key": {"FilterRules": rules}}} if rules else {})
