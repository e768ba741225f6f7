"""The record of jobs in one DynamoDB table: what the dispatcher on AWS knows, for whoever asks."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice, takewhile
from typing import Any, Final

from bridge.dispatch import _costs, _items
from bridge.dispatch._codec import dumps, event_text, outputs_of
from bridge.dispatch._costs import Cost
from bridge.dispatch._items import Item
from bridge.dispatch._rules import FRESH, ended_attempt, set_by, stamp, states_before
from bridge.dispatch.model import Change, JobDetail, JobRecord, NewJob
from bridge.errors import TemporaryError
from bridge.targets import JobState
from bridge.targets.aws.account import Account, translated

__all__ = ["Cost", "JobTable"]

_BY_SERVICE: Final = "by-service"
_BY_OPEN: Final = "by-open"
_KEPT: Final = 90 * 86_400
_TRIES: Final = 5
_TOGETHER: Final = 100
_TABLE: Final[Mapping[str, Any]] = {
    "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": [{"AttributeName": "job", "KeyType": "HASH"}],
    "AttributeDefinitions": [
        {"AttributeName": "job", "AttributeType": "S"},
        {"AttributeName": "service", "AttributeType": "S"},
        {"AttributeName": "open", "AttributeType": "S"},
        {"AttributeName": "accepted", "AttributeType": "N"},
        {"AttributeName": "changed", "AttributeType": "N"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": name,
            "KeySchema": [
                {"AttributeName": key, "KeyType": "HASH"},
                {"AttributeName": order, "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
        for name, key, order in (
            (_BY_SERVICE, "service", "accepted"),
            (_BY_OPEN, "open", "changed"),
        )
    ],
}


class JobTable:
    """Jobs by name, in the table `<prefix>-jobs`. Any number of writers may share it.

    Each write is one conditional call, so that of several that try at once one goes on. The rules
    of a change are those of every job store (`JobStore.change`). What `jobs` and `open_since` say
    may be some seconds old. Final jobs are kept for 90 days. Errors: TemporaryError when the table
    cannot be asked now, NotFoundError when there is no such table, AccessError.
    """

    def __init__(self, account: Account, name: str = "") -> None:
        self.name = name or f"{account.settings.name}-jobs"
        self._account = account

    @property
    def _client(self) -> Any:
        return self._account.client("dynamodb")

    def create(self) -> bool:
        """Make the table when it is absent; True when it was made now."""
        client = self._client
        with translated(f"table {self.name}"):
            try:
                client.create_table(TableName=self.name, **_TABLE)
            except client.exceptions.ResourceInUseException:
                return False
            client.get_waiter("table_exists").wait(
                TableName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
            )
            client.update_time_to_live(
                TableName=self.name,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"},
            )
        return True

    # --- writing ----------------------------------------------------------------------------

    def accept(self, job: NewJob, at: float) -> bool:
        """Record a new job; False when there is one of this name already."""
        text = event_text(job.event)
        if len(text) > _items.LARGE:
            url = self._account.put(_event_key(job.id), text.encode())
            text = _items.slim_event(job.event, url)
        return self._write(
            "put_item",
            f"record job {job.id}",
            Item=_items.new_item(job, text, at),
            ConditionExpression="attribute_not_exists(#job)",
            ExpressionAttributeNames={"#job": "job"},
        )

    def change(
        self,
        change: Change,
        *,
        only_from: Sequence[JobState] = (),
        handle: str | None = None,
        costs: Cost | None = None,
    ) -> bool:
        """Carry out a change; False when the rules do not allow it, or there is no such job.

        `only_from` narrows the states in which the job may make it, and `handle` is what its handle
        must be now: of several that try at once one does. `costs` is counted with the change, in
        one transaction: both or neither. `expected` and `release` mean nothing here.
        """
        if change.again:
            return self._again(change, costs)
        values = set_by(change)
        values.update(_items.report_values(change))
        if change.reason is not None:
            values["reason"] = _items.shortened(change.reason)
        if change.decision is not None:
            values["decision"] = dumps(change.decision)
        update = _Update(change, only_from)
        update.set(values)
        if (name := stamp(change)) and name not in values:
            update.set_once(name, change.at)
        if change.state.final:
            update.set({"expires": int(change.at) + _KEPT})
            update.remove(("open",))
        if handle is not None:
            update.only_with(handle)
        return self._update(change, update, costs)

    def spent(self, service: str, at: float) -> tuple[Decimal, Decimal]:
        """What changes have cost on the day (UTC) of this time, and in its month."""
        items = self._many(_costs.keys(service, at))
        return _costs.total(items, at)

    def keep(self, name: str, text: str, before: str) -> bool:
        """Keep a text that is about no job; False when what is kept is not `before` any more.

        No job has such a name: there is a slash in it.
        """
        update: dict[str, Any] = {
            "Item": {"job": {"S": name}, "text": {"S": text}},
            "ConditionExpression": "attribute_not_exists(#job)",
            "ExpressionAttributeNames": {"#job": "job"},
        }
        if before:
            update["ConditionExpression"] = "#text = :before"
            update["ExpressionAttributeNames"] = {"#text": "text"}
            update["ExpressionAttributeValues"] = {":before": {"S": before}}
        return self._write("put_item", f"keep {name}", **update)

    def kept(self, name: str) -> str:
        """What `keep` has kept, "" for nothing."""
        item = self._item(name) or {}
        return str(item.get("text", {"S": ""})["S"])

    def _again(self, change: Change, costs: Cost | None) -> bool:
        """Begin another attempt; what became of this one is kept beside it."""
        for _ in range(_TRIES):
            item = self._item(change.job)
            if item is None:
                return False
            job = _items.record(item)
            if job.attempt != change.attempt or job.state not in states_before(change):
                return False
            update = _Update(change)
            fresh = {**FRESH, **set_by(change), "attempt": change.attempt + 1}
            fresh["attempts"] = _with_attempt(item, job, change)
            fresh["decisions"] = _items.decisions_before(item)
            fresh["decision"] = None if change.decision is None else dumps(change.decision)
            if name := stamp(change):
                fresh[name] = change.at
            update.set({name: value for name, value in fresh.items() if value is not None})
            update.remove([name for name, value in fresh.items() if value is None])
            update.only_if("changed", item["changed"])
            if self._update(change, update, costs):
                return True
        raise TemporaryError(f"job {change.job} changes too fast to begin another attempt")

    def _update(self, change: Change, update: _Update, costs: Cost | None) -> bool:
        what, call = f"change job {change.job}", {"Key": {"job": {"S": change.job}}}
        call |= update.call()
        if costs is None:
            return self._write("update_item", what, **call)
        both = [{"TableName": self.name, **one} for one in (call, _costs.added(change.job, costs))]
        with translated(what):
            return _costs.together(self._client, both)

    def _write(self, operation: str, what: str, **call: Any) -> bool:
        client = self._client
        with translated(what):
            try:
                getattr(client, operation)(TableName=self.name, **call)
            except client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    # --- asking -----------------------------------------------------------------------------

    def job(self, job: str) -> JobRecord | None:
        """One job as it stands at this moment, None when there is none of that name."""
        item = self._item(job)
        return None if item is None else self._whole(item)

    def detail(self, job: str) -> JobDetail | None:
        """One job with its attempts, its decisions and its outputs."""
        item = self._item(job)
        if item is None:
            return None
        found = _items.detail(item, self._whole(item))
        if "outputs_in" not in found.job.report:
            return found
        outputs = outputs_of(self._account.report(job))
        return JobDetail(found.job, found.attempts, found.decisions, outputs)

    def jobs(
        self, service: str = "", states: Sequence[JobState] = (), limit: int = 100
    ) -> list[JobRecord]:
        """The newest jobs (of a service, in some states), newest first.

        Without a service the whole index is read. Events above 200 kB come without their data.
        """
        wanted = {state.value for state in states}
        items = self._of_service(service) if service else self._of_all(wanted, limit)
        found: list[JobRecord] = []
        for item in items:
            if not wanted or item["state"]["S"] in wanted:
                found.append(_items.record(item))
            if len(found) >= limit:
                break
        return found

    def details(self, service: str, limit: int, since: float = 0.0) -> list[JobDetail]:
        """The newest jobs since then, of a service or of all (""), with all that their items say,
        newest first."""
        items = self._of_service(service) if service else self._of_all(set(), limit)
        jobs = ((item, _items.record(item)) for item in islice(items, limit))
        recent = takewhile(lambda one: one[1].accepted >= since, jobs)
        return [_items.detail(item, job) for item, job in recent]

    def open_since(self, before: float) -> Iterator[JobRecord]:
        """Open jobs that have not changed since `before`, the longest first."""
        items = self._pages(
            "query",
            IndexName=_BY_OPEN,
            KeyConditionExpression="#open = :open AND #changed < :before",
            ExpressionAttributeNames={"#open": "open", "#changed": "changed"},
            ExpressionAttributeValues={":open": {"S": "1"}, ":before": {"N": repr(before)}},
        )
        return (_items.record(item) for item in items)

    def loads(self, most: int = 5_000) -> Mapping[tuple[str, JobState], int]:
        """How many open jobs each target has in each state, counted up to `most` jobs."""
        counts: dict[tuple[str, JobState], int] = {}
        items = self._pages(
            "query",
            IndexName=_BY_OPEN,
            KeyConditionExpression="#open = :open",
            ProjectionExpression="#target, #state",
            ExpressionAttributeNames={"#open": "open", "#target": "target", "#state": "state"},
            ExpressionAttributeValues={":open": {"S": "1"}},
        )
        for number, item in enumerate(items, start=1):
            target = item.get("target", {"S": ""})["S"]
            key = (target, JobState(item["state"]["S"]))
            counts[key] = counts.get(key, 0) + 1
            if number >= most:
                break
        return counts

    def busy(self, most: int) -> dict[str, tuple[int, int]]:
        """Jobs that are with each target, and that wait for it, counted up to `most` jobs."""
        found: dict[str, tuple[int, int]] = {}
        for (target, state), count in self.loads(most).items():
            running, queued = found.get(target, (0, 0))
            there = state in (JobState.SUBMITTED, JobState.RUNNING)
            found[target] = (running + count, queued) if there else (running, queued + count)
        return found

    def _item(self, job: str) -> Item | None:
        with translated(f"job {job}"):
            found: Item | None = self._client.get_item(
                TableName=self.name, Key={"job": {"S": job}}, ConsistentRead=True
            ).get("Item")
        return found

    def _whole(self, item: Item) -> JobRecord:
        """The job with its event, wherever that is."""
        if not _items.event_url(item["event"]["S"]):
            return _items.record(item)
        text = self._account.get(_event_key(item["job"]["S"]))
        return _items.record(item, (text or b"").decode())

    def _of_service(self, service: str) -> Iterator[Item]:
        return self._pages(
            "query",
            IndexName=_BY_SERVICE,
            ScanIndexForward=False,
            KeyConditionExpression="#service = :service",
            ExpressionAttributeNames={"#service": "service"},
            ExpressionAttributeValues={":service": {"S": service}},
        )

    def _of_all(self, states: set[str], limit: int) -> Iterator[Item]:
        """The newest of all services: DynamoDB has no order across them, so all are looked at."""
        seen = self._pages(
            "scan",
            IndexName=_BY_SERVICE,
            ProjectionExpression="#job, #accepted, #state",
            ExpressionAttributeNames={"#job": "job", "#accepted": "accepted", "#state": "state"},
        )
        rows = (
            (_items.numbered(item["accepted"]["N"]), item["job"]["S"])
            for item in seen
            if not states or item["state"]["S"] in states
        )
        newest = [job for _, job in heapq.nlargest(limit, rows)]
        for start in range(0, len(newest), _TOGETHER):
            yield from self._many(newest[start : start + _TOGETHER])

    def _many(self, jobs: Sequence[str]) -> Iterator[Item]:
        keys = [{"job": {"S": job}} for job in jobs]
        found: dict[str, Item] = {}
        for _ in range(_TRIES):
            with translated(f"jobs of {self.name}"):
                answer = self._client.batch_get_item(RequestItems={self.name: {"Keys": keys}})
            found |= {item["job"]["S"]: item for item in answer["Responses"].get(self.name, ())}
            keys = answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
            if not keys:
                break
        return (found[job] for job in jobs if job in found)

    def _pages(self, operation: str, **call: Any) -> Iterator[Item]:
        pages = iter(self._client.get_paginator(operation).paginate(TableName=self.name, **call))
        while True:
            with translated(f"jobs of {self.name}"):
                page = next(pages, None)
            if page is None:
                return
            yield from page["Items"]


class _Update:
    """One UpdateItem call that carries out a change where its rules allow it."""

    def __init__(self, change: Change, only_from: Sequence[JobState] = ()) -> None:
        self._names = {"#state": "state", "#attempt": "attempt"}
        self._sets: list[str] = []
        self._removes: list[str] = []
        before = only_from or states_before(change)
        marks = [f":was{number}" for number in range(len(before))]
        self._values = {m: {"S": s.value} for m, s in zip(marks, before, strict=True)}
        self._values[":attempt"] = {"N": str(change.attempt)}
        self._conditions = ["#attempt = :attempt", f"#state IN ({', '.join(marks)})"]
        self.set({"changed": change.at})

    def set(self, values: Mapping[str, Any]) -> None:
        """Set these attributes; the last word on one counts."""
        for name, value in _items.typed(values).items():
            if f"#{name}" not in self._names or f":{name}_" not in self._values:
                self._sets.append(f"#{name} = :{name}_")
            self._names[f"#{name}"] = name
            self._values[f":{name}_"] = value

    def set_once(self, name: str, value: float) -> None:
        """Set it unless it has a value."""
        self._names[f"#{name}"] = name
        self._values[f":{name}_"] = {"N": repr(value)}
        self._sets.append(f"#{name} = if_not_exists(#{name}, :{name}_)")

    def remove(self, names: Iterable[str]) -> None:
        """Take these attributes away."""
        self._names |= {f"#{name}": name for name in names}
        self._removes += [f"#{name}" for name in names]

    def only_if(self, name: str, value: Mapping[str, Any]) -> None:
        """Also demand that an attribute still has this value."""
        self._names[f"#{name}"] = name
        self._values[f":{name}_was"] = dict(value)
        self._conditions.append(f"#{name} = :{name}_was")

    def only_with(self, handle: str) -> None:
        """Also demand that the job has this handle, "" for none."""
        self._names["#handle"], self._values[":handle_was"] = "handle", {"S": handle}
        none = "" if handle else "attribute_not_exists(#handle) OR "
        self._conditions.append(f"({none}#handle = :handle_was)")

    def call(self) -> dict[str, Any]:
        """The arguments of UpdateItem."""
        removes = f" REMOVE {', '.join(self._removes)}" if self._removes else ""
        return {
            "UpdateExpression": f"SET {', '.join(self._sets)}{removes}",
            "ConditionExpression": " AND ".join(self._conditions),
            "ExpressionAttributeNames": self._names,
            "ExpressionAttributeValues": self._values,
        }


def _with_attempt(item: Item, job: JobRecord, change: Change) -> str:
    """The attempts so far, with the one that ends here."""
    before = {
        name: getattr(job, name) for name in (*FRESH, "attempt", "reason") if name != "report"
    }
    earlier = item.get("attempts", {"S": "[]"})["S"]
    ended = dumps(ended_attempt(before, change))
    return f"[{ended}]" if earlier == "[]" else f"{earlier[:-1]},{ended}]"


def _event_key(job: str) -> str:
    return f"events/{job}.event.json"
