"""The queues between S3, Lambda, Batch and the dispatcher, with those for what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk.acknowledge import acknowledge
from cdk.names import Base

__all__ = ["Queues"]

_TRIES: Final = 5
_KEPT: Final = 14 * 86_400
# Six times the readers' timeout, as AWS asks.
_HIDDEN: Final = 6 * 60


class Queues(Construct):
    """Events and states, each with a queue for messages that were tried five times in vain."""

    def __init__(self, scope: Construct, id: str, *, base: Base) -> None:
        super().__init__(scope, id)
        self.dead = {kind: self._dead(base, kind) for kind in ("events", "states")}
        self.live = {kind: self._live(base, kind) for kind in ("events", "states")}
        rules = {"ArnLike": {"aws:SourceArn": base.arn("events", "rule/*")}}
        sqs.CfnQueuePolicy(
            self,
            "Policy",
            queues=[queue.ref for queue in (*self.live.values(), *self.dead.values())],
            policy_document={
                "Version": "2012-10-17",
                "Statement": [
                    _send(self._arns(base, ("events", "states", "events-dead")), rules),
                    _only_tls(self._arns(base, ("events", "states", "events-dead", "states-dead"))),
                ],
            },
        )

    def _dead(self, base: Base, kind: str) -> sqs.CfnQueue:
        queue = sqs.CfnQueue(
            self,
            f"{kind.title()}Dead",
            queue_name=base.queue(f"{kind}-dead"),
            message_retention_period=_KEPT,
            sqs_managed_sse_enabled=True,
        )
        acknowledge(queue, {"SQS3": "It is the dead-letter queue of another"})
        return queue

    def _live(self, base: Base, kind: str) -> sqs.CfnQueue:
        return sqs.CfnQueue(
            self,
            kind.title(),
            queue_name=base.queue(kind),
            visibility_timeout=_HIDDEN,
            message_retention_period=_KEPT,
            sqs_managed_sse_enabled=True,
            redrive_policy={
                "deadLetterTargetArn": self.dead[kind].attr_arn,
                "maxReceiveCount": _TRIES,
            },
        )

    def _arns(self, base: Base, kinds: Sequence[str]) -> list[str]:
        return [base.arn("sqs", base.queue(kind)) for kind in kinds]


def _send(arns: Sequence[str], condition: dict[str, Any]) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": list(arns),
        "Condition": condition,
    }


def _only_tls(arns: Sequence[str]) -> dict[str, Any]:
    return {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "sqs:*",
        "Resource": list(arns),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
