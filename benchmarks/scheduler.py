"""A placement decision beside the least that any scorer must do.

The baseline takes, for each of 50 targets, the weighted sum of six numbers that lie ready, and the
smallest of those sums: no filters, no estimates, no reasons, nothing to print or store. Times are
of CPU, for 100 decisions. The aim is 1 ms for one decision among 50 targets: 100 ms here.

Then what a snapshot's estimates cost: 100,000 attempts that are learned from, and snapshots of 50
targets that are told what is known.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from decimal import Decimal

from _measure import Measure, report

from bridge.estimates import Estimates, Observation
from bridge.events import Event, EventKind
from bridge.fdl.model import Resources, Service, TargetKind, TargetSpec
from bridge.scheduler import (
    Estimate,
    Snapshot,
    TargetState,
    as_json,
    decide,
    decide_all,
    list_prices,
)

KINDS: tuple[TargetKind, ...] = ("oscar", "kubernetes", "lambda", "batch", "local")
CALLS, RUNS = 100, 15
LEARNED = 100_000
BASE = "min of 50 weighted sums"


def service() -> Service:
    return Service("resize", "bridge", "tool:1", Resources(Decimal(1), 2**30))


def snapshot(count: int) -> Snapshot:
    """Targets of all kinds, no two of them in the same state."""
    return Snapshot(tuple(_state(n) for n in range(count)))


def _state(n: int) -> TargetState:
    kind = KINDS[n % len(KINDS)]
    spec = TargetSpec(f"t{n}", kind, slots=10, cost_per_hour=Decimal(n) / 100)
    runs = {"resize": Estimate(1.0 + n, 0.5)}
    return TargetState(spec, running=n % 10, queued=n % 7, failures=n / 1000, age=n / 3, runs=runs)


def measured(name: str, call: Callable[[int], object], note: str = "") -> Measure:
    seconds = []
    for _ in range(RUNS):
        start = time.process_time()
        for n in range(CALLS):
            call(n)
        seconds.append(time.process_time() - start)
    return Measure(name, statistics.median(seconds), runs=RUNS, note=note)


def baseline() -> Measure:
    weights = (0.35, 0.35, 0.1, 0.1, 0.05, 0.05)
    rows = [tuple(float((n * 7 + k) % 11) for k in range(6)) for n in range(50)]

    def call(_: int) -> float:
        return min(sum(w * x for w, x in zip(weights, row, strict=True)) for row in rows)

    return measured(BASE, call)


def decisions(name: str, count: int, policy: str, note: str = "") -> Measure:
    asked, now = service(), snapshot(count)
    events = [Event(EventKind.S3, "s3.default", "b", f"k{n}", size=n * 1000) for n in range(CALLS)]
    return measured(name, lambda n: decide(asked, events[n], now, policy=policy), note)


def burst() -> Measure:
    """One call for all of them; each sees those before it."""
    asked, now = service(), snapshot(50)
    jobs = [(asked, None, n) for n in range(CALLS)]
    seconds = []
    for _ in range(RUNS):
        start = time.process_time()
        decide_all(jobs, now)
        seconds.append(time.process_time() - start)
    note = "as one burst, with reservations"
    return Measure("burst, 50 targets", statistics.median(seconds), runs=RUNS, note=note)


def first_decisions() -> Measure:
    """A service and targets that were never seen: nothing is kept from an earlier call."""
    fresh = [(service(), snapshot(50)) for _ in range(CALLS)]
    prices = list_prices()

    def call(n: int) -> object:
        asked, now = fresh[n]
        return decide(asked, None, now, prices=prices.scaled(Decimal(1)))

    return measured("first decision, 50 targets", call, "nothing known of service and targets")


def learning() -> tuple[Measure, Estimates]:
    """Attempts of 50 services on 50 targets: run, start and outcome of each."""
    chance = random.Random(1)
    seen = [
        Observation(
            f"s{n % 49}" if n % 50 else "resize",
            f"t{n % 50}",
            1e9 + n / 100,
            run=chance.lognormvariate(0, 1),
            start=0.5,
            size=n * 1000,
            failed=False,
        )
        for n in range(LEARNED)
    ]
    book = Estimates()
    start = time.process_time()
    for one in seen:
        book.observe(one)
    seconds = time.process_time() - start
    note = f"{LEARNED / seconds:,.0f} attempts/s"
    return Measure(f"learn from {LEARNED:,} attempts", seconds, note=note), book


def main() -> None:
    stored = decide(service(), None, snapshot(50))
    rows = [
        baseline(),
        decisions("balanced, 1 target", 1, "balanced"),
        decisions("balanced, 50 targets", 50, "balanced", "aim: 100 ms"),
        decisions("cheapest, 50 targets", 50, "cheapest", "aim: 100 ms"),
        decisions("topsis, 50 targets", 50, "topsis", "aim: 100 ms"),
        burst(),
        decisions("balanced, 500 targets", 500, "balanced", "linear: 10 times that of 50"),
        first_decisions(),
        measured("as_json, 50 candidates", lambda _: as_json(stored)),
    ]
    learned, book = learning()
    now, at = snapshot(50), 1e9 + LEARNED / 100
    told = measured("informed, 50 targets", lambda _: book.informed(now, "resize", at))
    report(f"Decisions, {CALLS} at a time", [*rows, told, learned], BASE)


if __name__ == "__main__":
    main()
