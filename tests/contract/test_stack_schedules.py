"""What a stack starts by itself: its custom resources' functions, and what it does at a rate."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.endpoint import Endpoint
from tests.contract.stacks import Stack, arn, kind, queue_policy, trust, zip_function

pytestmark = [pytest.mark.contract("cfn-stacks"), pytest.mark.any_engine]

CUSTOM = """
import json, urllib.request

def handler(event, context):
    wanted = event["ResourceProperties"]
    answer = {"Status": "FAILED" if wanted.get("Fail") else "SUCCESS", "Reason": "as asked",
              "PhysicalResourceId": "custom-1", "StackId": event["StackId"],
              "RequestId": event["RequestId"], "LogicalResourceId": event["LogicalResourceId"],
              "Data": {"Upper": wanted["Text"].upper(), "Did": event["RequestType"]}}
    request = urllib.request.Request(
        event["ResponseURL"], json.dumps(answer).encode(), {"Content-Type": ""}, method="PUT")
    urllib.request.urlopen(request).read()
"""


def test_a_custom_resource_is_made_changed_and_deleted_by_its_function(aws: Endpoint) -> None:
    stack = Stack.new(aws)

    def resources(text: str) -> dict[str, Any]:
        return {
            "Role": trust("lambda"),
            "Function": zip_function(aws, CUSTOM),
            "Custom": {
                "Type": "Custom::Text",
                "Properties": {"ServiceToken": arn("Function"), "Text": text},
            },
        }

    shown = {one: {"Fn::GetAtt": ["Custom", one]} for one in ("Upper", "Did")}
    first = resources("some")
    out = stack.create(first, outputs=shown)
    assert (out["Upper"], out["Did"], out["Custom"]) == ("SOME", "Create", "custom-1")
    first["Custom"] = resources("more")["Custom"]
    out = stack.update(first, outputs=shown)
    assert (out["Upper"], out["Did"]) == ("MORE", "Update")
    assert stack.delete() == "DELETE_COMPLETE"


@pytest.mark.slow
def test_a_rate_starts_something_every_minute(aws: Endpoint) -> None:
    out = Stack.new(aws).create(
        {
            "Role": trust("scheduler", "lambda"),
            "Queue": kind("SQS::Queue"),
            "Policy": queue_policy("Queue", "events"),
            "Rule": kind(
                "Events::Rule",
                ScheduleExpression="rate(1 minute)",
                Targets=[{"Id": "Target0", "Arn": arn("Queue"), "Input": '{"from": "rule"}'}],
            ),
            "Schedule": kind(
                "Scheduler::Schedule",
                ScheduleExpression="rate(1 minute)",
                FlexibleTimeWindow={"Mode": "OFF"},
                Target={
                    "Arn": arn("Queue"),
                    "RoleArn": arn("Role"),
                    "Input": '{"from": "schedule"}',
                },
            ),
        }
    )
    found: list[Any] = []

    def both() -> bool:
        found.extend(message["Body"] for message in aws.received(out["Queue"]))
        return len(found) >= 2

    aws.eventually(both, 150)
    assert sorted(found, key=str) == [{"from": "rule"}, {"from": "schedule"}]
