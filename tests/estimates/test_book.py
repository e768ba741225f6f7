"""What is learned from observations, and what decisions get of it."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.estimates import Estimates, Observation, Prediction
from bridge.fdl.options import OscarOptions
from bridge.scheduler import Estimate, TargetState, decide, offer
from tests.scheduler.make import CLUSTER, FUNCTIONS, event, path, placed, service, snapshot, spec

NOW = 1_790_000_000.0
DAY = 86_400.0
HERE = snapshot(FUNCTIONS, CLUSTER)


def seen(run: float | None = None, target: str = "my-cluster", **more: Any) -> Observation:
    """A run of `resize` that has just ended."""
    values: dict[str, Any] = {"failed": False, "at": NOW} | more
    return Observation("resize", target, run=run, **values)


def book(*found: Observation) -> Estimates:
    made = Estimates()
    for one in found:
        made.observe(one, NOW)
    return made


def state(of: Estimates, target: str = "my-cluster", now: float = NOW) -> TargetState:
    informed = of.informed(HERE, "resize", now)
    return next(s for s in informed.targets if s.spec.name == target)


def run(of: Estimates, size: int | None = None, *, now: float = NOW) -> Estimate:
    return state(of, now=now).runs["resize"].of(size)


def near(value: float) -> object:
    return pytest.approx(value, rel=0.06)


# --- run times --------------------------------------------------------------------------------


def test_nothing_known_changes_nothing_and_two_runs_are_not_enough() -> None:
    assert Estimates().informed(HERE, "resize", NOW).targets == HERE.targets
    assert state(book(seen(5.0), seen(5.0))).runs == {}


def test_confidence_grows_with_runs_and_falls_with_their_age() -> None:
    few, many = book(*[seen(5.0)] * 3), book(*[seen(5.0)] * 60)
    assert run(few).run == run(many).run == near(5.0)
    assert run(few).confidence == pytest.approx(0.5)
    assert run(many).confidence > 0.95
    later = [run(many, now=NOW + days * DAY).confidence for days in (0, 1, 7, 70, 700)]
    assert later == sorted(later, reverse=True)
    assert later[-1] < 0.01


@settings(max_examples=50)
@given(st.floats(0, 1e8), st.integers(0, 12))
def test_one_bad_sample_changes_nothing(bad: float, place: int) -> None:
    runs = [4.0 + n % 3 for n in range(12)]
    good = run(book(*map(seen, runs)))
    runs.insert(place, bad)
    spoilt = run(book(*map(seen, runs)))
    assert spoilt.run == pytest.approx(good.run, rel=0.25)


def test_each_size_of_input_has_its_own_time_and_others_are_read_off_between() -> None:
    small = [seen(1.0, size=1000)] * 5
    large = [seen(100.0, size=1_000_000)] * 5
    known = book(*small, *large)
    assert run(known, 900).run == near(1.0)
    assert run(known, 800_000).run == near(100.0)
    between = run(known, 40_000)
    assert 5.0 < between.run < 20.0
    assert between.note == "the run time is that of inputs of other sizes"
    assert between.confidence < run(known, 1000).confidence
    # Beyond what was seen nothing is read off: the nearest, with less confidence.
    assert run(known, 10**12).run == near(100.0)
    assert run(known, 10**12).confidence < run(known, 1_000_000).confidence


def test_the_95th_percentile_is_told_too() -> None:
    chance = random.Random(1)
    known = book(*[seen(chance.uniform(0, 100)) for _ in range(2000)])
    assert run(known).run == pytest.approx(50, rel=0.1)
    assert run(known).late == pytest.approx(95, rel=0.1)


def test_a_target_where_it_has_not_run_borrows_and_says_so() -> None:
    known = book(*[seen(5.0)] * 20)
    there = state(known, FUNCTIONS.name).runs["resize"]
    assert there.run == near(5.0)
    assert there.note == "the run time is that on my-cluster: too few runs here"
    assert 0 < there.confidence < run(known).confidence / 3
    said = decide(placed(service(), policy="fastest"), event(), known.informed(HERE, "resize", NOW))
    (offer,) = (c.offer for c in said.candidates if c.offer.target == FUNCTIONS.name)
    assert there.note in offer.notes


def test_what_a_service_says_of_itself_is_surer_than_what_is_borrowed() -> None:
    hinted = service(options=OscarOptions(annotations={"oscar-bridge/run-seconds": "7"}))
    informed = book(*[seen(5.0)] * 20).informed(HERE, "resize", NOW)
    runs = {c.offer.target: c.offer.run for c in decide(hinted, None, informed).candidates}
    assert runs == {FUNCTIONS.name: 7.0, CLUSTER.name: near(5.0)}


def test_a_slow_target_loses_its_place_after_a_few_samples() -> None:
    one, two = spec("one", "local", slots=8), spec("two", "local", slots=8)
    fast = placed(service(), policy="fastest")
    known = book()
    winners = []
    for n in range(16):
        informed = known.informed(snapshot(one, two), "resize", NOW)
        target = decide(fast, event(key=f"in/{n}"), informed, seed=n).target
        winners.append(target)
        known.observe(seen(60.0 if target == "one" else 2.0, target))
    assert winners.count("one") <= 6
    assert set(winners[-4:]) == {"two"}


def test_runs_that_change_for_good_raise_one_alarm_lower_the_confidence_and_are_followed() -> None:
    chance = random.Random(7)
    known = book(*[seen(chance.lognormvariate(0, 0.2)) for _ in range(500)])
    sure = run(known).confidence
    alarms = [known.observe(seen(chance.lognormvariate(1.6, 0.2)), NOW) for _ in range(60)]
    assert alarms.count(True) == 1
    assert alarms.index(True) < 16
    (told,) = known.accuracy(NOW)
    assert (told.drifts, told.drifting) == (1, False)
    at_once = book(*[seen(1.0 + n % 5 / 100) for n in range(100)], *[seen(5.0)] * 12)
    (told,) = at_once.accuracy(NOW)
    assert told.drifting
    assert told.confidence < sure / 2
    assert run(at_once).run == near(5.0)
    assert run(known).run == pytest.approx(4.95, rel=0.15)


@pytest.mark.parametrize(("factor", "most"), [(1.4, 80), (2.0, 25), (0.5, 25)])
def test_a_small_change_for_good_is_seen_too_if_later(factor: float, most: int) -> None:
    chance = random.Random(11)
    known = book(*[seen(chance.lognormvariate(0, 0.3)) for _ in range(300)])
    assert any(
        known.observe(seen(factor * chance.lognormvariate(0, 0.3)), NOW) for _ in range(most)
    )


def test_runs_that_only_scatter_raise_no_alarm() -> None:
    chance = random.Random(3)
    for spread in (0.05, 0.5, 1.5):
        known = book(*[seen(chance.lognormvariate(0, spread)) for _ in range(5_000)])
        (told,) = known.accuracy(NOW)
        assert told.drifts == 0


# --- starts, transfers, failures, refusals --------------------------------------------------------


def test_starts_and_transfers_are_the_targets_own() -> None:
    known = book(
        *[seen(start=s) for s in (0.9, 1.0, 1.1, -0.2)],
        *[seen(stage_in=(2.0, 2**21), stage_out=(8.0, 2**21)) for _ in range(3)],
        *[seen(stage_in=(0.25, 100)) for _ in range(3)],
    )
    found = state(known)
    assert found.start == near(0.9)
    assert found.stage_in is not None
    assert found.stage_out is not None
    assert (found.stage_in.latency, found.stage_in.per_byte) == (near(0.25), near(2**-20))
    assert (found.stage_out.latency, found.stage_out.per_byte) == (0.0, near(2**-18))
    informed = known.informed(HERE, "resize", NOW)
    both = service(inputs=(path(),), outputs=(path(where="bucket/out"),))
    (made,) = [
        c.offer
        for c in decide(both, event(10 * 2**20), informed).candidates
        if c.offer.target == CLUSTER.name
    ]
    # Ten MiB in at one second for each and a quarter before, and as much out at four.
    assert (made.start, made.transfer) == (near(0.9), near(0.25 + 10 + 40))
    assert state(known, FUNCTIONS.name).start is None


def test_what_runs_on_a_target_on_average_is_known_and_follows_what_comes() -> None:
    assert state(book(seen(4.0), seen(4.0))).mean_run is None
    known = book(*[seen(4.0)] * 30, seen(1e8))
    assert state(known).mean_run == pytest.approx(4.0, rel=0.6)
    for _ in range(60):
        known.observe(replace(seen(20.0), service="other", cores=0.5), NOW)
    # What is known of a target is a second old at most.
    assert state(known, now=NOW + 1).mean_run == pytest.approx(20.0, rel=0.1)
    assert state(known, now=NOW + 1).mean_cpu == pytest.approx(0.5)


def test_failures_of_the_target_count_while_they_are_recent_and_one_alone_is_none() -> None:
    assert state(book(seen(failed=True))).failures == 0
    known = book(*[seen(failed=True)] * 6, *[seen(failed=False)] * 2, seen(failed=None))
    assert state(known).failures == pytest.approx(5 / 12)
    assert state(known, now=NOW + 900).failures == pytest.approx(2 / 8)
    assert state(known, now=NOW + 10 * DAY).failures == 0


def test_refusals_open_the_breaker_of_their_target_alone() -> None:
    known = Estimates()
    assert not known.submitted("my-cluster", NOW, ok=True)
    for _ in range(5):
        assert known.submitted("my-cluster", NOW, ok=False)
    assert state(known).breaker == "open"
    assert state(known, now=NOW + 31).breaker == "half-open"
    assert state(known, FUNCTIONS.name).breaker == "closed"


# --- money, errors, bad input, keeping ------------------------------------------------------------


def test_what_was_spent_is_known_by_day_and_month_of_a_service_and_of_its_owner() -> None:
    noon = 1_793_534_400.0  # 2026-11-01 12:00 UTC
    known = Estimates()
    for days, name, cost in ((0, "resize", "1.5"), (-1, "resize", "4"), (2, "other", "0.25")):
        paid = Observation(name, "t", noon + days * DAY, cost=Decimal(cost), owner="ann")
        known.observe(paid)
    then = known.informed(HERE, "resize", noon, owner="ann").spent["resize"]
    assert (then.day, then.month) == (Decimal("1.5"), Decimal("1.5"))
    later = known.spent("resize", noon + 2 * DAY, owner="ann")
    assert (later.day, later.month) == (0, Decimal("1.5"))
    assert (later.owner_day, later.owner_month) == (Decimal("0.25"), Decimal("1.75"))
    assert known.spent("nobody", noon).month == 0


def test_the_error_of_what_was_foretold_is_measured() -> None:
    said = Prediction(run=10.0, finish=20.0, start=1.0, transfer=3.0)
    came: dict[str, Any] = {
        "finish": 25.0,
        "start": 2.0,
        "stage_in": (1.0, 5),
        "stage_out": (1.0, 5),
    }
    known = book(*[seen(8.0, predicted=said, **came) for _ in range(10)], seen(8.0))
    (told,) = known.accuracy(NOW)
    assert told.error == pytest.approx(0.25)
    assert told.finish_error == pytest.approx(0.2)
    assert (told.start_error, told.transfer_error) == (pytest.approx(0.5), pytest.approx(0.5))
    assert (told.compared, told.samples) == (10, 11)


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ({"run": float("nan")}, "run"),
        ({"run": -1.0}, "run"),
        ({"run": 1e12}, "run"),
        ({"start": -30.0}, "start"),
        ({"start": float("inf")}, "start"),
        ({"stage_in": (float("nan"), 10)}, "transfer"),
        ({"stage_out": (1.0, -10)}, "transfer"),
        ({"cost": Decimal("-1")}, "cost"),
        ({"cost": Decimal("NaN")}, "cost"),
        ({"run": 5.0, "at": NOW + 3600}, "time"),
        ({"run": 5.0, "at": float("nan")}, "time"),
        ({"run": 5.0, "at": -1.0}, "time"),
    ],
)
def test_what_cannot_be_is_left_out_and_counted(bad: dict[str, Any], what: str) -> None:
    known = book(*[seen(5.0, start=1.0)] * 4)
    before = known.informed(HERE, "resize", NOW)
    known.observe(seen(**({"failed": None} | bad)), NOW)
    assert known.dropped == {what: 1}
    assert known.informed(HERE, "resize", NOW) == before


def test_what_is_too_old_to_say_anything_is_forgotten_and_no_longer_kept() -> None:
    known = book(*[seen(5.0, cost=Decimal(1)) for _ in range(20)])
    kept = known.changes()
    assert Estimates.readable(kept)
    known.forget(NOW + 30 * DAY)
    assert known.changes() == {}
    known.observe(Observation("other", "t", NOW + 400 * DAY, run=1.0))
    known.forget(NOW + 400 * DAY)
    changes = known.changes()
    assert {name for name, text in changes.items() if not text} == {
        name for name in kept if "resize" in name
    }
    assert [told.service for told in known.accuracy(NOW + 400 * DAY)] == ["other"]


observations = st.builds(
    Observation,
    service=st.sampled_from(["resize", "other"]),
    target=st.sampled_from([FUNCTIONS.name, CLUSTER.name]),
    at=st.floats(NOW - 40 * DAY, NOW),
    run=st.none() | st.floats(0, 1e6),
    start=st.none() | st.floats(-2, 1e4),
    size=st.none() | st.integers(0, 2**40),
    stage_in=st.none() | st.tuples(st.floats(0, 1e3), st.integers(0, 2**34)),
    failed=st.sampled_from([None, True, False]),
    cost=st.decimals(0, 10, places=4),
    owner=st.sampled_from(["", "ann"]),
    predicted=st.none()
    | st.builds(Prediction, st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 9), st.floats(0, 9)),
    held=st.none() | st.floats(-1, 1e4),
    cold=st.sampled_from([None, True, False]),
)


@settings(max_examples=40)
@given(st.lists(observations, max_size=20), st.lists(observations, max_size=5))
def test_what_is_kept_is_all_there_is(first: list[Observation], second: list[Observation]) -> None:
    known, again = Estimates(), Estimates()
    for found in (first, second):
        for one in found:
            known.observe(one, NOW)
        again.restore(known.changes())
        assert known.changes() == {}
    assert again.dropped == known.dropped
    assert list(again.accuracy(NOW)) == list(known.accuracy(NOW))
    informed = [k.informed(HERE, "resize", NOW, owner="ann") for k in (known, again)]
    assert informed[0] == informed[1]


# --- containers that wait ---------------------------------------------------------------------


def call(at: float, held: float = 10.0, *, cold: bool | None = None) -> Observation:
    """A run on Lambda that has ended then."""
    return seen(held, FUNCTIONS.name, at=at, held=held, cold=cold)


def containers(of: Estimates, now: float, *busy: float) -> tuple[float, int]:
    """The chance of a cold start, and how many wait."""
    informed = of.informed(HERE, "resize", now, busy={FUNCTIONS.name: busy})
    found = informed.targets[0]
    return found.cold["resize"], found.warm["resize"]


def test_a_cold_start_is_foretold_from_idle_time_and_from_who_is_busy() -> None:
    early = NOW - 9_000
    both = book(call(early, cold=True), call(early + 5, cold=True))
    assert containers(both, early + 6) == (pytest.approx(0.0, abs=0.01), 2)
    assert containers(both, early + 10, early + 6) == (pytest.approx(0.0, abs=0.01), 1)
    assert containers(both, early + 10, early + 6, early + 7) == (1.0, 0)
    # Whoever was placed before a container was left has another one.
    assert containers(both, early + 10, early - 5, early - 4) == (pytest.approx(0, abs=0.01), 2)
    chances = [containers(both, early + gap)[0] for gap in (60, 600, 6000)]
    assert chances == sorted(chances)
    assert chances[0] < 0.1
    assert chances[2] > 0.9
    assert containers(both, early + 6000)[1] == 0
    assert state(both, CLUSTER.name).cold == {}
    other = both.informed(HERE, "other", NOW).targets[0]
    assert (other.cold["other"], other.warm["other"]) == (1.0, 0)


@pytest.mark.parametrize("kept", [120.0, 3600.0])
def test_how_long_containers_are_kept_is_learned(kept: float) -> None:
    """Calls after more and after less than a place keeps its containers."""
    lots, known, at = random.Random(7), Estimates(), NOW - 100 * DAY
    for _ in range(300):
        gap = kept * 10 ** lots.uniform(-0.5, 0.5)
        at += gap + 1
        known.observe(call(at, held=1.0, cold=gap > kept), NOW)
    again = Estimates()
    again.restore(known.changes())
    for one in (known, again):
        assert containers(one, at + kept / 3)[0] < 0.3
        assert containers(one, at + kept * 3)[0] > 0.7


def test_a_job_beside_a_long_one_says_nothing_of_how_long_containers_are_kept() -> None:
    known, at = Estimates(), NOW - 50 * DAY
    known.observe(call(at, cold=True), NOW)
    for _ in range(100):  # one that takes the container for long, and one that finds none
        at += 300
        known.observe(call(at - 200, held=10, cold=True), NOW)
        known.observe(call(at, held=299, cold=False), NOW)
    assert containers(known, at + 200)[0] < 0.2


def test_starts_are_told_apart_where_it_is_said_which_were_cold() -> None:
    starts = [(4.0, True), (0.1, False)] * 3
    told = book(*(seen(1.0, FUNCTIONS.name, start=s, cold=c) for s, c in starts))
    found = state(told, FUNCTIONS.name)
    assert (found.start, found.start_warm) == (near(4.0), near(0.1))
    cold, warm = (
        offer(service(), None, replace(found, cold={"resize": chance})).start for chance in (1, 0)
    )
    assert (cold, warm) == (near(4.0), near(0.1))
