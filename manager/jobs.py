"""Jobs of all services and targets, as far as a caller may see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bridge.dispatch import Attempt, JobDetail, JobRecord
from bridge.errors import TemporaryError, UsageError
from bridge.targets import JobState, Target
from bridge.targets.protocol import FindsLogs
from manager.access import may_see, owns
from manager.auth import Caller, Refused
from manager.calls import exact
from manager.core import Manager

__all__ = ["Query", "Sight", "detail_view", "job_view", "read_states"]

_PAGE: Final = 500
_REDRIVEN: Final = "redrive "
_TIMES: Final = ("accepted", "placed", "submitted", "started", "ended")
_STEPS: Final = (
    (JobState.PLACED, "placed"),
    (JobState.SUBMITTED, "submitted"),
    (JobState.RUNNING, "started"),
)


@dataclass(frozen=True, slots=True)
class Query:
    """Which jobs. `after` continues behind that job, "" begins; empty values mean all."""

    service: str = ""
    states: tuple[JobState, ...] = ()
    target: str = ""
    after: str = ""
    limit: int = 70


def read_states(text: str) -> tuple[JobState, ...]:
    """States with commas between them; UsageError for a word that is none."""
    try:
        return tuple(JobState(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise UsageError(f"state must be of {', '.join(JobState)}") from None


class Sight:
    """The jobs that a caller may see: those of his services, and his own of what he may call.

    Jobs that were put away are not seen. Raises Refused for what is not there or not his.
    """

    def __init__(self, manager: Manager, caller: Caller) -> None:
        self._manager = manager
        self._caller = caller
        self._jobs = manager.parts.jobs

    def page(self, query: Query) -> tuple[list[JobRecord], str]:
        """Jobs, the newest first, and where the next page begins ("" for nowhere)."""
        if query.after and self._jobs.job(query.after) is None:
            raise UsageError("there is no such page")
        caller = ""
        owned: list[str] = []
        if query.service:
            caller = "" if owns(self._caller, self._seen(query.service)) else self._caller.uid
        elif not self._caller.admin:
            caller, owned = self._caller.uid, self.owned()
        found = self._jobs.jobs(
            states=query.states,
            service=query.service,
            target=query.target,
            caller=caller,
            owned=owned,
            shown=True,
            newest=True,
            after=query.after,
            limit=query.limit + 1,
        )
        kept = found[: query.limit]
        after = kept[-1].id if len(found) > query.limit else ""
        return [record for record in kept if self._is_his(record)], after

    def newest(self, service: str) -> Iterator[JobRecord]:
        """All jobs of a service, or of all, the newest first."""
        query = Query(service, limit=_PAGE)
        while True:
            found, after = self.page(query)
            yield from found
            if not after:
                return
            query = replace(query, after=after)

    def owned(self, service: str = "") -> list[str]:
        """Names of the caller's services, or the one that is named; Refused (403) for another's."""
        if not service:
            return [one.name for one in self._manager.services() if owns(self._caller, one)]
        if not owns(self._caller, self._seen(service)):
            raise Refused(403, f"the service {service} is not yours to change")
        return [service]

    def one(self, job: str) -> JobRecord:
        """One job."""
        record = self._jobs.job(job)
        if record is None or record.hidden or not self._is_his(record):
            raise Refused(404, f"there is no job {job}")
        return record

    def detail(self, job: str) -> JobDetail:
        """One job with its attempts and decisions."""
        found = self._jobs.detail(self.one(job).id)
        assert found is not None
        return found

    def cancel(self, job: str) -> JobRecord:
        """End a job; Refused (409) when it was over."""
        record = self.one(job)
        if not self._manager.dispatcher.cancel(record.id):
            raise Refused(409, f"the job {job} is over already")
        return self.one(job)

    def replay(self, job: str) -> str:
        """A new job of the same event. TemporaryError when there are too many."""
        record = self.one(job)
        self._manager.make_room()
        return self._manager.dispatcher.replay(record.id)

    def redrive(self, job: str) -> str:
        """A new job in the place of a dead one, the same one however often it is asked for."""
        record = self._dead(job)
        self._manager.make_room()
        made = self._manager.dispatcher.replay(record.id, nonce=f"{_REDRIVEN}{record.id}")
        self._put_away(record)
        return made

    def redrive_all(self, service: str, most: int) -> tuple[list[str], bool]:
        """The same for the newest dead jobs of a service, or of all that is the caller's."""
        made: list[str] = []
        for name in self.owned(service):
            query = Query(name, (JobState.DEAD,), limit=most - len(made))
            found, more = self.page(query)
            for record in found:
                try:
                    made.append(self.redrive(record.id))
                except TemporaryError:
                    return made, True
            if more or len(made) >= most:
                return made, True
        return made, False

    def purge(self, job: str) -> None:
        """Put a dead job away."""
        self._put_away(self._dead(job))

    def purge_all(self, service: str) -> None:
        """Put all dead jobs of a service away, or of all that is the caller's."""
        for name in self.owned(service):
            self._jobs.hide(name, states=[JobState.DEAD])

    def _put_away(self, record: JobRecord) -> None:
        self._jobs.hide(record.service, job=record.id)

    def _dead(self, job: str) -> JobRecord:
        record = self.one(job)
        if record.state is not JobState.DEAD:
            raise Refused(409, f"the job {job} is no dead letter: it is {record.state}")
        return record

    def _seen(self, service: str) -> Any:
        one = self._manager.find(service)
        if one is None or not may_see(self._caller, one):
            raise Refused(404, f"there is no service {service}")
        return one

    def _is_his(self, record: JobRecord) -> bool:
        return self.may_see(record.service, record.accepted, lambda: record)

    def may_see(self, service: str, at: float, job: Callable[[], JobRecord | None]) -> bool:
        """Whether what was of a job of the service at that time is the caller's to see.

        The `job` is only asked for when it matters. A service of the same name that was there
        before is another one.
        """
        one = self._manager.find(service)
        if self._caller.admin or one is None or at < one.created:
            return self._caller.admin
        if owns(self._caller, one):
            return True
        if not may_see(self._caller, one):
            return False
        found = job()
        return found is not None and found.caller == self._caller.uid


def job_log(target: Target | None, record: JobRecord) -> Iterator[str]:
    """What a job has said so far, none where its target cannot tell any more."""
    if target is None:
        return iter(())
    if isinstance(target, FindsLogs) and record.log:
        return target.logs_at(record.id, record.log)
    return target.logs(record.id)


def job_view(record: JobRecord) -> dict[str, Any]:
    """A job in a list; what is not known is left out."""
    event = record.event
    found: dict[str, Any] = {
        "id": record.id,
        "service": record.service,
        "state": record.state,
        "target": record.target or None,
        "attempt": record.attempt,
        "caller": record.caller or None,
        **{name: _time(getattr(record, name)) for name in _TIMES},
        "exit_code": record.exit_code,
        "reason": record.reason or None,
        "event": {
            "kind": event.kind,
            "provider": event.provider,
            "bucket": event.bucket,
            "key": event.key,
            "size": event.size,
        }
        if event.is_storage
        else {"kind": event.kind},
    }
    return {key: value for key, value in found.items() if value is not None}


def detail_view(detail: JobDetail) -> dict[str, Any]:
    """All that is known of a job: its way in time, and why it went where it did."""
    return {
        **job_view(detail.job),
        "timeline": _timeline(detail),
        "decisions": list(detail.decisions),
        "outputs": [
            {"provider": o.provider, "bucket": o.bucket, "key": o.key, "size": o.size}
            for o in detail.outputs
        ],
        "report": dict(detail.job.report),
    }


def _timeline(detail: JobDetail) -> list[dict[str, Any]]:
    first = {"at": exact(detail.job.accepted), "state": JobState.ACCEPTED, "attempt": 1}
    return [first, *(step for attempt in detail.attempts for step in _steps(attempt))]


def _steps(attempt: Attempt) -> Sequence[dict[str, Any]]:
    known = [(state, getattr(attempt, name)) for state, name in _STEPS]
    known += [(attempt.state, attempt.ended)] if attempt.state.final else []
    found = [
        {"at": exact(at), "state": state, "attempt": attempt.number, "target": attempt.target}
        for state, at in known
        if at is not None
    ]
    if found and attempt.state.final:
        found[-1] |= {"exit_code": attempt.exit_code, "reason": attempt.reason}
    return found


def _time(at: float | None) -> str | None:
    return None if at is None else exact(at)
