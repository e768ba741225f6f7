"""Jobs that wait too long: taken back, and only then placed anew. Never two runs of one job."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bridge.dispatch import Dispatcher, Settings, SqliteStore
from bridge.dispatch.testing import BusyTarget, FakeTarget, Outcome
from bridge.dispatch.waiting import patience
from bridge.errors import TargetUnavailable
from bridge.fdl.model import Placement, Service
from bridge.scheduler import Decision, Estimate, Room, Snapshot, TargetState, decide, from_json
from bridge.targets import Job, JobState
from tests.dispatch.world import (
    FAST,
    NOW,
    PATIENCE,
    PROVIDER,
    FolderRoutes,
    body,
    change,
    new_job,
    only,
    outcomes,
    service,
    until,
)

IMPATIENT = replace(FAST, patience=0.02)
HERE = replace(service("s", "in"), placement=Placement(policy="fastest"))


class Scene:
    """A dispatcher with the real scheduler over `here` and `there`, whose speed tests choose.

    `seconds` is what a run is known to take on each: it decides where jobs go.
    """

    def __init__(
        self,
        store: SqliteStore,
        here: FakeTarget,
        there: FakeTarget,
        *,
        wanted: Service = HERE,
        settings: Settings = IMPATIENT,
    ) -> None:
        self.store = store
        self.targets = {"here": here, "there": there}
        self.seconds = {"here": 1.0, "there": 1000.0}
        self.room: dict[str, Room] = {}
        self.looks = 0
        self.dispatcher = Dispatcher(
            store,
            [wanted],
            FolderRoutes([wanted]),
            self.targets,
            decide=self._decide,
            snapshot=self._snapshot,
            settings=settings,
        )
        # How long runs take is ours to say, not what is learned from these.
        self.dispatcher._core.known.learn = lambda: 0  # type: ignore[method-assign]

    def _decide(self, *given: object, seed: int = 0) -> Decision:
        self.looks += 1
        return decide(*given, seed=seed)  # type: ignore[arg-type]

    def _snapshot(self) -> Snapshot:
        return Snapshot(tuple(self._state(name) for name in self.targets))

    def _state(self, name: str) -> TargetState:
        running, queued = self.dispatcher.running(name), self.dispatcher.queued(name)
        runs = {"s": Estimate(self.seconds[name], 1.0)}
        room = {"s": self.room[name]} if name in self.room else {}
        spec = self.targets[name].spec
        return TargetState(spec, running, queued, runs=runs, room=room, start=0.0)

    def accept(self, count: int) -> None:
        for number in range(count):
            self.dispatcher.ingest(PROVIDER, body(f"in/{number}"))

    def swap(self) -> None:
        """From now on `there` is the faster one."""
        self.seconds = {"here": 1000.0, "there": 1.0}

    def runs(self) -> Counter[str]:
        """How often each job has begun, wherever."""
        return Counter(job.id for target in self.targets.values() for job in target.runs)


def holding(name: str, room: int = 1) -> BusyTarget:
    """A target that runs `room` jobs until they are let go."""
    return BusyTarget(name, "local", script=outcomes(Outcome(hold=True)), room=room)


def begun(scene: Scene, target: BusyTarget) -> list[str]:
    """Jobs that ran there, which is not all that it has taken."""
    back = {(job.id, job.attempt) for job in target.withdrawn}
    return [job.id for job in target.runs if (job.id, job.attempt) not in back]


def test_what_waits_moves_when_it_is_over_sooner_elsewhere(store: SqliteStore) -> None:
    here, there = holding("here"), FakeTarget("there", "local")
    scene = Scene(store, here, there)
    scene.accept(12)
    with scene.dispatcher:
        until(lambda: scene.dispatcher.running("here") == 1 and len(here.submits) == 12)
        scene.swap()
        until(lambda: len(here.withdrawn) == 11)
        here.let_go()
        assert scene.dispatcher.wait_quiet(PATIENCE)
    ran = begun(scene, here) + [job.id for job in there.runs]
    assert sorted(ran) == sorted(record.id for record in store.jobs())
    assert len(begun(scene, here)) == 1
    assert store.counts() == {("s", JobState.SUCCEEDED): 12}
    moved = store.detail(there.runs[0].id)
    assert moved is not None
    first, second = moved.attempts
    assert (first.state, first.target, second.target) == (JobState.CANCELLED, "here", "there")
    assert first.reason.startswith("it waited ")
    assert [decision["target"] for decision in moved.decisions] == ["here", "there"]


def test_what_never_reached_its_target_moves_without_asking_it(store: SqliteStore) -> None:
    full = Outcome(hold=True)
    here = FakeTarget("here", "local", slots=1, script=outcomes(full))
    there = FakeTarget("there", "local")
    scene = Scene(store, here, there)
    scene.accept(8)
    with scene.dispatcher:
        until(lambda: len(here.runs) == 2)
        scene.swap()
        until(lambda: len(there.runs) == 6)
        here.let_go()
        assert scene.dispatcher.wait_quiet(PATIENCE)
    # A target that cannot give jobs back keeps those that it has.
    assert max(scene.runs().values()) == 1
    assert here.cancels == []


def test_a_small_gain_moves_nothing(store: SqliteStore) -> None:
    here, there = holding("here"), FakeTarget("there", "local")
    scene = Scene(store, here, there)
    scene.accept(2)
    with scene.dispatcher:
        until(lambda: len(here.submits) == 2)
        scene.seconds = {"here": 100.0, "there": 199.0 * 0.8}
        scene.room = {"here": Room(now=0, ever=1)}
        looked = scene.looks
        until(lambda: scene.looks > looked + 5)
        here.let_go()
        assert scene.dispatcher.wait_quiet(PATIENCE)
    assert (here.withdrawn, there.runs) == ([], [])


def test_who_is_first_in_line_stays_and_who_is_last_moves(store: SqliteStore) -> None:
    """One after the other takes a second here; there it is five for each, from now on."""
    here, there = holding("here"), FakeTarget("there", "local")
    scene = Scene(store, here, there)
    scene.accept(20)
    with scene.dispatcher:
        until(lambda: len(here.submits) == 20 and scene.dispatcher.running("here") == 1)
        scene.room = {"here": Room(now=0, ever=1)}
        scene.seconds = {"here": 1.0, "there": 5.0}
        until(lambda: len(here.withdrawn) >= 10)
        moves = looked = 0

        def nobody_moves() -> bool:
            nonlocal moves, looked
            if len(here.withdrawn) != moves:
                moves, looked = len(here.withdrawn), scene.looks
            return scene.looks > looked + 60

        until(nobody_moves)
        moved = {job.id for job in here.withdrawn}
        here.let_go()
        assert scene.dispatcher.wait_quiet(PATIENCE)
    assert 10 <= len(moved) <= 17
    # As the store has the line: whom the target took first is chance, as eight are told at once.
    assert not moved & {record.id for record in store.jobs(limit=2)}


def test_a_job_moves_only_so_often(store: SqliteStore) -> None:
    here, there = holding("here", room=0), holding("there", room=0)
    scene = Scene(store, here, there)
    scene.accept(1)
    with scene.dispatcher:
        until(lambda: len(here.submits) == 1)
        for target in (here, there):
            scene.swap() if target is here else scene.seconds.update(here=1.0, there=1000.0)
            until(lambda target=target: len(target.withdrawn) == 1)  # type: ignore[misc]
        until(lambda: only(store).attempt == 3 and only(store).state is JobState.SUBMITTED)
        scene.seconds = (
            {"here": 500.0, "there": 1.0}
            if only(store).target == "here"
            else {
                "here": 1.0,
                "there": 500.0,
            }
        )
        last = scene.targets[only(store).target]
        seen = store.job(only(store).id)
        assert seen is not None
        waited = len(last.submits)
        for target in (here, there):
            target.room = 1
            target.let_go()
        assert scene.dispatcher.wait_quiet(PATIENCE)
        assert len(last.submits) == waited
    assert (only(store).attempt, only(store).state) == (3, JobState.SUCCEEDED)


@pytest.mark.parametrize("answers", [[None, None, True], [None, False]])
def test_a_target_that_is_unsure_is_asked_again(
    store: SqliteStore, answers: list[bool | None]
) -> None:
    here, there = holding("here", room=0), FakeTarget("there", "local")
    here.answers = list(answers)
    scene = Scene(store, here, there, settings=replace(IMPATIENT, max_moves=1))
    scene.accept(1)
    with scene.dispatcher:
        until(lambda: len(here.submits) == 1)
        scene.swap()
        until(lambda: not here.answers)
        here.room = 1
        here.let_go()
        assert scene.dispatcher.wait_quiet(PATIENCE)
    assert only(store).state is JobState.SUCCEEDED
    assert len(begun(scene, here)) + len(there.runs) == 1


def test_a_cancel_comes_before_a_move(store: SqliteStore) -> None:
    here, there = holding("here", room=0), FakeTarget("there", "local")
    here.answers = [None] * 10_000
    scene = Scene(store, here, there)
    scene.accept(1)
    with scene.dispatcher:
        until(lambda: len(here.submits) == 1)
        scene.swap()
        until(lambda: only(store).moving)
        assert scene.dispatcher.cancel(only(store).id)
        assert scene.dispatcher.wait_quiet(PATIENCE)
    assert only(store).state is JobState.CANCELLED
    assert there.runs == []


def test_a_restart_goes_on_taking_back(store: SqliteStore) -> None:
    here, there = holding("here", room=0), FakeTarget("there", "local")
    here.answers = [None] * 10_000
    scene = Scene(store, here, there)
    scene.accept(1)
    with scene.dispatcher:
        until(lambda: len(here.submits) == 1)
        scene.swap()
        until(lambda: only(store).moving)
    here.answers = []
    again = Scene(store, here, there)
    with again.dispatcher:
        assert again.dispatcher.wait_quiet(PATIENCE)
    assert (only(store).target, only(store).attempt) == ("there", 2)
    assert len(here.submits) == 1


def test_a_restart_does_not_submit_what_is_asked_back(store: SqliteStore) -> None:
    """It may have been given back already: then nobody would ever run it, or hear of it."""
    here, there = holding("here", room=0), FakeTarget("there", "local")
    (one,) = store.accept([new_job("in/a")], time.time())
    change(store, one.job, JobState.PLACED, target="here", moving=True, reason="timed out")
    scene = Scene(store, here, there)
    scene.swap()
    with scene.dispatcher:
        assert scene.dispatcher.wait_quiet(PATIENCE)
    assert here.submits == []
    assert [job.attempt for job in there.runs] == [2]


def test_moves_count_and_not_where_they_went(store: SqliteStore) -> None:
    """Back and forth between two targets is as many moves."""
    scene = Scene(store, holding("here", room=0), holding("there", room=0))
    (one,) = store.accept([new_job("in/a")], NOW)
    for attempt in (1, 2):
        change(store, one.job, JobState.PLACED, attempt, target="here")
        change(store, one.job, JobState.ACCEPTED, attempt, again=True, unrun=True)
    change(store, one.job, JobState.PLACED, 3, target="here", release=True)
    scene.swap()
    scene.dispatcher.restore()
    scene.dispatcher._mover._look()
    assert only(store).attempt == 3
    scene.dispatcher.close()


def test_what_another_dispatcher_has_moved_is_not_followed(store: SqliteStore) -> None:
    here = holding("here", room=0)
    scene = Scene(store, here, FakeTarget("there", "local"))
    (one,) = store.accept([new_job("in/a")], NOW)
    change(store, one.job, JobState.SUBMITTED, target="here", handle="h", moving=True)
    lane = scene.dispatcher._lanes["here"]
    lane.resume(store.jobs())
    change(store, one.job, JobState.ACCEPTED, again=True, unrun=True)
    scene.dispatcher._core.moving.set()
    scene.dispatcher._mover._step()
    assert (lane.held, lane._watch) == ([], {})
    scene.dispatcher.close()


def test_a_hedged_job_tries_the_second_target_after_the_first_has_let_go(
    store: SqliteStore,
) -> None:
    here, there = holding("here", room=0), FakeTarget("there", "local")
    here.answers = [None, True]
    wanted = replace(HERE, placement=Placement(policy="hedge"))
    scene = Scene(store, here, there, wanted=wanted)
    clock = [1000.0]
    scene.dispatcher._core.clock = lambda: clock[0]
    scene.accept(1)
    with scene.dispatcher:
        until(lambda: len(here.submits) == 1)
        hedge = from_json(store.detail(only(store).id).decisions[0]).hedge  # type: ignore[union-attr]
        assert hedge is not None
        assert (hedge.target, there.runs) == ("there", [])
        clock[0] += hedge.after + 1
        assert scene.dispatcher.wait_quiet(PATIENCE)
    assert [job.attempt for job in here.withdrawn] == [1]
    assert [job.attempt for job in there.runs] == [2]


# --- submits that fail ---------------------------------------------------------------------------


def test_a_target_that_does_not_take_it_is_left_out_of_a_new_decision(store: SqliteStore) -> None:
    refuse = Outcome(refuse=TargetUnavailable("down", delay=0))
    here = BusyTarget("here", "local", script=outcomes(refuse))
    there = FakeTarget("there", "local")
    scene = Scene(store, here, there, settings=FAST)
    scene.accept(1)
    with scene.dispatcher:
        assert scene.dispatcher.wait_quiet(PATIENCE)
    detail = store.detail(only(store).id)
    assert detail is not None
    assert [a.target for a in detail.attempts] == ["here", "there"]
    assert detail.attempts[0].state is JobState.CANCELLED
    assert "down" in detail.attempts[0].reason
    assert [job.attempt for job in here.withdrawn] == [1]
    assert max(scene.runs().values()) == 1


def test_a_target_that_is_slow_to_refuse_is_given_up_in_time(store: SqliteStore) -> None:
    refuse = Outcome(refuse=TargetUnavailable("timed out", delay=0))
    here = FakeTarget("here", "local", script=outcomes(refuse))
    there = FakeTarget("there", "local")
    patient = replace(FAST, max_submits=1_000_000, patience=0.1)
    scene = Scene(store, here, there, settings=patient)
    scene.accept(1)
    with scene.dispatcher:
        assert scene.dispatcher.wait_quiet(PATIENCE)
    assert (only(store).target, only(store).attempt) == ("there", 2)
    # A target that cannot say whether it has the job is told to end it.
    assert here.cancels == [only(store).id]


class Deaf(BusyTarget):
    """Takes every job, and never says so."""

    def submit(self, job: object) -> str:
        BusyTarget.submit(self, job)  # type: ignore[arg-type]
        raise TargetUnavailable("no answer", delay=0)


def test_a_submit_that_arrived_without_an_answer_runs_once(store: SqliteStore) -> None:
    here, there = (
        Deaf("here", "local", script=outcomes(Outcome(polls=5)), room=100),
        FakeTarget("there", "local"),
    )
    scene = Scene(store, here, there, settings=replace(IMPATIENT, max_submits=2))
    scene.accept(30)
    with scene.dispatcher:
        assert scene.dispatcher.wait_quiet(PATIENCE)
    assert store.counts() == {("s", JobState.SUCCEEDED): 30}
    ran = Counter(begun(scene, here)) + Counter(job.id for job in there.runs)
    assert set(ran.values()) == {1}


class DeafArrays(BusyTarget):
    """Takes many jobs as one array, and never says so. Of a job alone it knows nothing, as those
    that are in an array are known by that."""

    bundle_sizes = (2, 100)

    def prepare(self, jobs: Sequence[Job]) -> str:
        self.prepared = list(jobs)
        return "array/a"

    def launch(self, service: str, root: str, size: int) -> str:
        for job in self.prepared:
            BusyTarget.submit(self, job)
        raise TargetUnavailable("no answer", delay=0)

    def withdraw(self, job: Job, handle: str) -> bool | None:
        return BusyTarget.withdraw(self, job, handle) if handle.startswith("array/a:") else True

    def settle(self, service: str, root: str) -> str:
        return "launched"

    def follow(self, job: str, attempt: int, handle: str, service: str) -> None:
        """All are followed."""


def test_an_array_that_arrived_without_an_answer_runs_once(store: SqliteStore) -> None:
    here = DeafArrays("here", "local", script=outcomes(Outcome(polls=5)), room=100)
    there = FakeTarget("there", "local")
    scene = Scene(store, here, there, settings=replace(IMPATIENT, max_submits=1))
    scene.accept(30)
    with scene.dispatcher:
        assert scene.dispatcher.wait_quiet(PATIENCE)
    assert store.counts() == {("s", JobState.SUCCEEDED): 30}
    ran = Counter(begun(scene, here)) + Counter(job.id for job in there.runs)
    assert set(ran.values()) == {1}


# --- how long is too long ------------------------------------------------------------------------


@pytest.mark.parametrize(("deadline", "expected"), [(None, 60.0), (1000.0, 60.0), (40.0, 10.0)])
def test_a_deadline_makes_impatient(deadline: float | None, expected: float) -> None:
    wanted = replace(HERE, placement=Placement(deadline=deadline))
    assert patience(wanted, Settings()) == expected
