"""Alarms: something failed that nobody may see."""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

__all__ = ["alarm"]

_PERIOD = 300


def alarm(
    scope: Construct,
    id: str,
    *,
    metric: tuple[str, str],
    of: tuple[str, str],
    says: str,
    topic: str = "",
    statistic: str = "Sum",
) -> cloudwatch.CfnAlarm:
    """In alarm while the metric (namespace and name) of one thing is above 0.

    `of` is the dimension's name and value, `topic` the ARN of an SNS topic that is told, if any.
    """
    return cloudwatch.CfnAlarm(
        scope,
        id,
        alarm_description=says,
        namespace=metric[0],
        metric_name=metric[1],
        dimensions=[cloudwatch.CfnAlarm.DimensionProperty(name=of[0], value=of[1])],
        statistic=statistic,
        period=_PERIOD,
        evaluation_periods=1,
        threshold=0,
        comparison_operator="GreaterThanThreshold",
        treat_missing_data="notBreaching",
        alarm_actions=[topic] if topic else None,
    )
