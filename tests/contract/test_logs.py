"""Reading logs: groups, streams, events in pages, times and patterns."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.endpoint import Endpoint, code, name

pytestmark = pytest.mark.any_engine
COUNT = 25


@dataclass
class Group:
    """A log group with two streams; the even lines are in the first. `start` is the first time."""

    aws: Endpoint
    name: str
    start: int

    @property
    def logs(self) -> Any:
        return self.aws.client("logs")


@pytest.fixture
def group(aws: Endpoint) -> Group:
    found = Group(aws, f"/{name('group')}", int(time.time() * 1000) - 60_000)
    found.logs.create_log_group(logGroupName=found.name)
    for odd in (0, 1):
        stream = f"stream-{odd}"
        found.logs.create_log_stream(logGroupName=found.name, logStreamName=stream)
        # Several lines have one time, as those of a busy program do.
        events = [
            {"timestamp": found.start + number // 8, "message": f"line {number:02} ü"}
            for number in range(odd, COUNT, 2)
        ]
        found.logs.put_log_events(logGroupName=found.name, logStreamName=stream, logEvents=events)
    return found


@pytest.mark.parametrize("size", [1, 4, COUNT, 100])
def test_filtered_events_come_in_pages_without_gaps_or_copies(group: Group, size: int) -> None:
    pages = group.logs.get_paginator("filter_log_events")
    found = [
        [one["message"] for one in page["events"]]
        for page in pages.paginate(logGroupName=group.name, PaginationConfig={"PageSize": size})
    ]
    assert all(len(page) <= size for page in found)
    lines = [line for page in found for line in page]
    assert sorted(lines) == [f"line {number:02} ü" for number in range(COUNT)]


def test_filtered_events_of_one_stream_and_time(group: Group) -> None:
    found = group.logs.filter_log_events(
        logGroupName=group.name,
        logStreamNames=["stream-1"],
        startTime=group.start + 1,
        endTime=group.start + 2,
    )["events"]
    assert [one["message"] for one in found] == [f"line {n:02} ü" for n in range(9, 24, 2)]
    assert {one["logStreamName"] for one in found} == {"stream-1"}
    assert all(one["eventId"] for one in found)


@pytest.mark.parametrize("from_head", [True, False])
def test_a_stream_is_read_in_pages_from_either_end(group: Group, from_head: bool) -> None:
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        answer = group.logs.get_log_events(
            logGroupName=group.name,
            logStreamName="stream-0",
            startFromHead=from_head,
            limit=4,
            **token,
        )
        lines = [one["message"] for one in answer["events"]]
        assert len(lines) <= 4
        found = [*found, *lines] if from_head else [*lines, *found]
        following = answer["nextForwardToken" if from_head else "nextBackwardToken"]
        if token and following == token["nextToken"]:
            break
        token = {"nextToken": following}
    assert found == [f"line {number:02} ü" for number in range(0, COUNT, 2)]


def test_a_reader_finds_what_is_written_later(group: Group) -> None:
    where = {"logGroupName": group.name, "logStreamName": "stream-0"}
    answer = group.logs.get_log_events(**where, startFromHead=True)
    token = answer["nextForwardToken"]
    event = {"timestamp": group.start + 1_000, "message": "later"}
    group.logs.put_log_events(**where, logEvents=[event])
    answer = group.logs.get_log_events(**where, startFromHead=True, nextToken=token)
    assert [one["message"] for one in answer["events"]] == ["later"]


def test_streams_and_groups_are_listed_by_prefix(group: Group) -> None:
    pages = group.logs.get_paginator("describe_log_streams")
    found = [
        one["logStreamName"]
        for page in pages.paginate(
            logGroupName=group.name, logStreamNamePrefix="stream-", PaginationConfig={"PageSize": 1}
        )
        for one in page["logStreams"]
    ]
    assert found == ["stream-0", "stream-1"]
    groups = group.logs.describe_log_groups(logGroupNamePrefix=group.name)["logGroups"]
    assert [one["logGroupName"] for one in groups] == [group.name]
    group.logs.put_retention_policy(logGroupName=group.name, retentionInDays=7)
    [one] = group.logs.describe_log_groups(logGroupNamePrefix=group.name)["logGroups"]
    assert one["retentionInDays"] == 7


def test_what_is_not_there_is_not_found(group: Group) -> None:
    for ask, where in (
        ("filter_log_events", {"logGroupName": "/none"}),
        ("get_log_events", {"logGroupName": "/none", "logStreamName": "none"}),
        ("get_log_events", {"logGroupName": group.name, "logStreamName": "none"}),
    ):
        with pytest.raises(ClientError) as caught:
            getattr(group.logs, ask)(**where)
        assert code(caught.value) == "ResourceNotFoundException"


@pytest.mark.contract("logs-tokens")
def test_a_token_that_is_none_is_refused(group: Group) -> None:
    with pytest.raises(ClientError) as caught:
        group.logs.filter_log_events(logGroupName=group.name, nextToken="no token")
    assert code(caught.value) == "InvalidParameterException"


@pytest.mark.contract("logs-patterns")
def test_a_pattern_matches_words_phrases_and_fields(group: Group) -> None:
    lines = ["Error in one", "error in two", "in Error two", '{"level": "bad"}', '{"level": "ok"}']
    where = {"logGroupName": group.name, "logStreamName": "stream-0"}
    events = [{"timestamp": group.start + 100, "message": one} for one in lines]
    group.logs.put_log_events(**where, logEvents=events)
    wanted = {
        "Error": [lines[0], lines[2]],
        '"Error in"': [lines[0]],
        "error": [lines[1]],
        '{ $.level = "bad" }': [lines[3]],
    }
    for pattern, expected in wanted.items():
        found = group.logs.filter_log_events(logGroupName=group.name, filterPattern=pattern)
        assert [one["message"] for one in found["events"]] == expected


def test_a_word_in_the_pattern_selects(group: Group) -> None:
    found = group.logs.filter_log_events(logGroupName=group.name, filterPattern='"07"')
    assert [one["message"] for one in found["events"]] == ["line 07 ü"]
