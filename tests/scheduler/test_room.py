"""Room that was measured on a target: what is full is a wait, what can never be is a refusal."""

from __future__ import annotations

import pytest

from bridge.scheduler import Offer, Room, decide, offer
from tests.scheduler.make import CLUSTER, FUNCTIONS, filters, service, snapshot, spec, state

HOME = spec("home", "kubernetes")
FULL = "no node has 1 CPU free: the most is 0.5 CPU on n1"


def with_room(room: Room, run: float = 10.0, **more: int) -> Offer:
    return offer(service(), None, state(HOME, run=run, room={"resize": room}, **more))


@pytest.mark.parametrize(
    ("room", "queued", "seconds"),
    [
        (Room(now=3, ever=4), 0, 0.0),
        (Room(now=3, ever=4), 2, 0.0),
        (Room(now=3, ever=4), 3, 2.5),  # one ends every 10/4 seconds
        (Room(now=0, ever=4, ahead=6), 2, 17.5),  # 6 wait, ours among them
        (Room(now=0, ever=4, more=2, delay=5.0), 0, 2.5),
        (Room(now=0, ever=1, more=2, delay=5.0), 0, 5.0),  # sooner than 10 s
        (Room(now=0, ever=0, more=2, delay=5.0), 3, 15.0),  # two at once, then the next two
    ],
)
def test_a_job_waits_for_room_or_for_new_machines(room: Room, queued: int, seconds: float) -> None:
    made = with_room(room, queued=queued)
    assert made.feasible
    assert made.wait == seconds


def test_what_is_full_is_said_and_what_can_never_be_is_refused() -> None:
    waits = with_room(Room(now=0, ever=4, why=FULL))
    assert waits.feasible and waits.notes == (f"full now: {FULL}",)
    never = with_room(Room(now=0, ever=0, why="no node has 64 CPU: the most is 2 CPU on n1"))
    assert filters(never) == ["room"]
    assert never.reasons[0].sentence == "no node has 64 CPU: the most is 2 CPU on n1"
    assert never.wait == 0.0


def test_the_bound_that_the_file_declares_holds_beside_the_room() -> None:
    made = offer(
        service(), None, state(CLUSTER, run=8.0, running=4, room={"resize": Room(now=9, ever=9)})
    )
    assert made.wait == 2.0


def test_another_service_is_not_bounded_by_it() -> None:
    made = offer(service(), None, state(HOME, room={"other": Room(now=0, ever=0, why=FULL)}))
    assert made.feasible


def test_a_gpu_that_was_seen_need_not_be_declared() -> None:
    asked = service(gpu=1)
    assert filters(offer(asked, None, state(HOME))) == ["gpu"]
    assert offer(asked, None, state(HOME, room={"resize": Room(now=1, ever=1)})).feasible


def test_a_full_cluster_sends_jobs_elsewhere() -> None:
    full = state(HOME, run=60.0, room={"resize": Room(now=0, ever=1, ahead=9, why=FULL)})
    free = state(HOME, run=60.0, room={"resize": Room(now=5, ever=5)})
    functions = state(FUNCTIONS, run=90.0)
    assert decide(service(), None, snapshot(full, functions), policy="fastest").target != "home"
    assert decide(service(), None, snapshot(free, functions), policy="fastest").target == "home"
