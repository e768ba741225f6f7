"""The buckets that services read and write: made where absent, told to speak where they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk.acknowledge import acknowledge
from cdk.facts import Facts
from cdk.names import Base
from cdk.storage import closed_bucket

__all__ = ["BridgeBuckets"]

# The id under which the CDK keeps its own handler, once in a stack.
_HANDLER: Final = "BucketNotificationsHandler050a0587b7544547bf325f094a3db834"


class BridgeBuckets(Construct):
    """Buckets of one file. `watched` are those whose new objects start services.

    What is made here is private, sends its events to EventBridge and outlives the stack. A bucket
    of somebody else in this account is never changed, but EventBridge is switched on where it is
    watched, beside whatever it sends elsewhere; it is not switched off again.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        base: Base,
        facts: Facts,
        names: Iterable[str],
        watched: Iterable[str],
    ) -> None:
        super().__init__(scope, id)
        wanted, foreign = set(watched), []
        for name in sorted(set(names)):
            state = facts.buckets.get(name, "absent")
            if state in ("absent", "ours"):
                closed_bucket(Construct(self, name), base, name, events=True)
            elif state == "foreign" and name in wanted:
                foreign.append(name)
        for name in foreign:
            found = s3.Bucket.from_bucket_name(self, name, name)
            found.enable_event_bridge_notification()
        if foreign:
            self._narrow(base, foreign)

    def _narrow(self, base: Base, buckets: list[str]) -> None:
        """The CDK lets its handler write to every bucket; ours may touch these."""
        handler = Stack.of(self).node.find_child(_HANDLER)
        policies = [one for one in handler.node.find_all() if isinstance(one, iam.CfnPolicy)]
        arns = [base.s3_arn(name) for name in buckets]
        actions = ["s3:GetBucketNotification", "s3:PutBucketNotification"]
        statement = {"Effect": "Allow", "Action": actions, "Resource": arns}
        for policy in policies:
            policy.add_property_override("PolicyDocument.Statement", [statement])
        acknowledge(
            handler,
            {
                "IAM4": "The CDK's own handler; the policy is the one for writing logs",
                "IAM5": "Narrowed to the buckets, which the rule does not see",
                "L1": "The CDK chooses the runtime of its own handler",
            },
        )
