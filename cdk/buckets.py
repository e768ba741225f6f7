"""The buckets that services read and write: made where absent, told to speak where they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk.acknowledge import acknowledge
from cdk.facts import Facts
from cdk.storage import closed_bucket

__all__ = ["BridgeBuckets"]

_LOGS: Final = "arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
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
        facts: Facts,
        names: Iterable[str],
        watched: Iterable[str],
    ) -> None:
        super().__init__(scope, id)
        wanted, foreign = set(watched), []
        for name in sorted(set(names)):
            state = facts.buckets.get(name, "absent")
            if state in ("absent", "ours"):
                closed_bucket(Construct(self, name), name, events=True)
            elif state == "foreign" and name in wanted:
                foreign.append(name)
        for name in foreign:
            found = s3.Bucket.from_bucket_name(self, name, name)
            found.enable_event_bridge_notification()
        if foreign:
            self._acknowledge()

    def _acknowledge(self) -> None:
        handler = Stack.of(self).node.find_child(_HANDLER)
        acknowledge(
            handler,
            {
                f"IAM4[Policy::{_LOGS}]": "The CDK's own handler; the policy is the one for logs",
                "L1": "The CDK chooses the runtime of its own handler",
            },
        )
