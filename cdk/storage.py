"""What outlives a stack: the work bucket and the table of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import CfnDeletionPolicy, CfnResource, Fn
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk.acknowledge import acknowledge
from cdk.names import Base

__all__ = ["JobTable", "WorkBucket", "closed_bucket", "keep"]

_DAYS: Final = 90
_PASSING: Final = ("arrays/", "runs/", "events/", "reports/")
_INDEXES: Final = (("by-service", "service", "accepted"), ("by-open", "open", "changed"))
_ATTRIBUTES: Final = {"job": "S", "service": "S", "open": "S", "accepted": "N", "changed": "N"}


def keep(resource: CfnResource) -> None:
    """Never delete the resource with its stack, nor when another takes its place."""
    resource.cfn_options.deletion_policy = CfnDeletionPolicy.RETAIN
    resource.cfn_options.update_replace_policy = CfnDeletionPolicy.RETAIN


class WorkBucket(Construct):
    """The bucket of claims, arrays, large events and reports, which are removed after 90 days.

    What deployments keep there (`deployments/`) stays.
    """

    def __init__(self, scope: Construct, id: str, *, base: Base) -> None:
        super().__init__(scope, id)
        rules = [
            s3.CfnBucket.RuleProperty(
                id=prefix.strip("/"), prefix=prefix, status="Enabled", expiration_in_days=_DAYS
            )
            for prefix in _PASSING
        ]
        self.bucket = closed_bucket(self, base.bucket, lifecycle=rules)


def closed_bucket(
    scope: Construct,
    name: str,
    *,
    lifecycle: Sequence[s3.CfnBucket.RuleProperty] = (),
    events: bool = False,
) -> s3.CfnBucket:
    """A private bucket that is kept for ever, and only speaks TLS; `events` go to EventBridge."""
    rules = [*lifecycle, _unfinished()]
    bucket = s3.CfnBucket(
        scope,
        "Bucket",
        bucket_name=name,
        public_access_block_configuration=s3.CfnBucket.PublicAccessBlockConfigurationProperty(
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
        ),
        bucket_encryption=_encrypted(),
        ownership_controls=s3.CfnBucket.OwnershipControlsProperty(
            rules=[
                s3.CfnBucket.OwnershipControlsRuleProperty(object_ownership="BucketOwnerEnforced")
            ]
        ),
        lifecycle_configuration=s3.CfnBucket.LifecycleConfigurationProperty(rules=rules),
        notification_configuration=_to_event_bridge() if events else None,
    )
    keep(bucket)
    policy = s3.CfnBucketPolicy(
        scope, "Policy", bucket=bucket.ref, policy_document=_only_tls(bucket)
    )
    keep(policy)
    acknowledge(bucket, {"S1": "Access logs of a bucket are the account owner's to decide and pay"})
    return bucket


def _unfinished() -> s3.CfnBucket.RuleProperty:
    abort = s3.CfnBucket.AbortIncompleteMultipartUploadProperty(days_after_initiation=7)
    return s3.CfnBucket.RuleProperty(
        id="unfinished-uploads", status="Enabled", abort_incomplete_multipart_upload=abort
    )


def _encrypted() -> s3.CfnBucket.BucketEncryptionProperty:
    by_default = s3.CfnBucket.ServerSideEncryptionByDefaultProperty(sse_algorithm="AES256")
    rule = s3.CfnBucket.ServerSideEncryptionRuleProperty(
        server_side_encryption_by_default=by_default
    )
    return s3.CfnBucket.BucketEncryptionProperty(server_side_encryption_configuration=[rule])


def _to_event_bridge() -> s3.CfnBucket.NotificationConfigurationProperty:
    return s3.CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(
            event_bridge_enabled=True
        )
    )


def _only_tls(bucket: s3.CfnBucket) -> dict[str, object]:
    statement = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "s3:*",
        "Resource": [bucket.attr_arn, Fn.join("", [bucket.attr_arn, "/*"])],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


class JobTable(Construct):
    """The table of jobs, as `bridge.dispatch.table` reads and writes it."""

    def __init__(self, scope: Construct, id: str, *, base: Base) -> None:
        super().__init__(scope, id)
        table = dynamodb.CfnTable
        self.table = table(
            self,
            "Table",
            table_name=base.table,
            billing_mode="PAY_PER_REQUEST",
            attribute_definitions=[
                table.AttributeDefinitionProperty(attribute_name=name, attribute_type=kind)
                for name, kind in _ATTRIBUTES.items()
            ],
            key_schema=[table.KeySchemaProperty(attribute_name="job", key_type="HASH")],
            global_secondary_indexes=[
                table.GlobalSecondaryIndexProperty(
                    index_name=name,
                    key_schema=[
                        table.KeySchemaProperty(attribute_name=key, key_type="HASH"),
                        table.KeySchemaProperty(attribute_name=order, key_type="RANGE"),
                    ],
                    projection=table.ProjectionProperty(projection_type="ALL"),
                )
                for name, key, order in _INDEXES
            ],
            time_to_live_specification=table.TimeToLiveSpecificationProperty(
                attribute_name="expires", enabled=True
            ),
            point_in_time_recovery_specification=table.PointInTimeRecoverySpecificationProperty(
                point_in_time_recovery_enabled=True
            ),
        )
        keep(self.table)
