"""The targets against what can be worked out on paper."""

from __future__ import annotations

from dataclasses import replace
from math import factorial, inf

import numpy as np
import pytest

from bridge.simulate import (
    BatchModel,
    FunctionsModel,
    Link,
    Setting,
    Spread,
    policy_maker,
    simulate,
)
from tests.simulate.make import AT_ONCE, GIB, always, by, cluster, place, service, trace, world

WARM = FunctionsModel(cold=AT_ONCE, warm=AT_ONCE, cold_billed=False)


def _arrivals(count: int, rate: float, seed: int) -> list[float]:
    gaps = np.random.default_rng(seed).exponential(1 / rate, count)
    return np.cumsum(gaps).tolist()


def test_many_servers_wait_as_erlang_says() -> None:
    """M/M/c: the mean wait is Erlang's C over the spare rate."""
    count, servers, rate = 15_000, 4, 2.8
    runs = np.random.default_rng(7).exponential(1.0, count)
    result = simulate(
        world(cluster(servers)), trace(_arrivals(count, rate, 3), runs.tolist()), always(0)
    )
    busy = rate / servers
    full = rate**servers / factorial(servers) / (1 - busy)
    erlang = full / (sum(rate**k / factorial(k) for k in range(servers)) + full)
    assert (result.start - result.arrival).mean() == pytest.approx(
        erlang / (servers - rate), rel=0.1
    )


def test_one_server_with_equal_runs_waits_half_as_long() -> None:
    """M/D/1: the mean wait is rho / (2 (1 - rho)) runs."""
    result = simulate(world(cluster()), trace(_arrivals(10_000, 0.6, 5)), always(0))
    assert (result.start - result.arrival).mean() == pytest.approx(0.6 / 0.8, rel=0.1)


def test_lambda_bills_requests_and_milliseconds_to_the_cent() -> None:
    happens = trace([float(n) for n in range(200)], 1.23456, services=[service(memory=2 * GIB)])
    result = simulate(world(place("l", "lambda", WARM)), happens, always(0))
    assert result.cost.sum() == pytest.approx(
        200 * (0.0000002 + 0.0000166667 * 2 * 1.235), abs=1e-9
    )


def test_a_cold_start_is_slow_once_and_paid() -> None:
    model = replace(WARM, cold=Spread(2.0), cold_billed=True, keep_alive=10.0)
    result = simulate(world(place("l", "lambda", model)), trace([0.0, 5.0, 30.0], 1.0), always(0))
    assert result.cold.tolist() == [True, False, True]
    assert (result.end - result.arrival).tolist() == [3.0, 1.0, 3.0]
    assert result.cost[0] - result.cost[1] == pytest.approx(2.0 * 0.0000166667)


def test_functions_wait_for_concurrency_and_for_growth() -> None:
    few = replace(WARM, concurrency=2)
    result = simulate(world(place("l", "lambda", few)), trace([0.0] * 4, 1.0), always(0))
    assert sorted(result.start.tolist()) == [0.0, 0.0, 1.0, 1.0]
    slow = replace(WARM, growth=2, growth_every=4.0)
    result = simulate(world(place("l", "lambda", slow)), trace([0.0] * 4, 9.0), always(0))
    assert sorted(result.start.tolist()) == [0.0, 0.0, 2.0, 4.0]


def test_a_run_over_the_timeout_is_killed_paid_and_handed_over() -> None:
    """SCAR's lambda-batch: the time on Lambda is lost, and Batch pays again."""
    batch = BatchModel(start=Spread(60.0), billed_start=0.0)
    result = simulate(
        world(place("l", "lambda", WARM), place("b", "batch", batch)),
        trace([0.0], 1000.0),
        always(0, 1),
    )
    assert result.done.all()
    assert result.attempts.tolist() == [2]
    assert result.end[0] == pytest.approx(900 + 0.5 + 60 + 1000)
    fargate = (0.04048 + 0.004445 * 2) / 3600 * 1000  # 1 vCPU has 2 GB at least
    assert result.cost[0] == pytest.approx(0.0000002 + 0.0000166667 * 900 + fargate, rel=1e-6)


def test_batch_submits_one_by_one_and_bills_a_minute_at_least() -> None:
    batch = BatchModel(submit_rate=2.0, start=Spread(10.0), billed_start=0.0, vcpus=2.0)
    result = simulate(world(place("b", "batch", batch)), trace([0.0] * 4, 5.0), always(0))
    assert result.start.tolist() == [10.0, 10.5, 15.0, 15.5]
    assert result.cost.tolist() == pytest.approx([(0.04048 + 0.004445 * 2) / 60] * 4)


def test_spot_machines_are_taken_away() -> None:
    spot = BatchModel(start=AT_ONCE, interruptions=3600.0)
    result = simulate(
        world(place("b", "batch", spot)), trace([0.0] * 300, 1.0), always(0), Setting(attempts=1)
    )
    assert result.done.mean() == pytest.approx(np.exp(-1), abs=0.09)
    assert (result.cost > 0).all()


def test_an_autoscaler_brings_machines_late_and_takes_them_back() -> None:
    growing = cluster(most_nodes=3, node_delay=20.0, node_idle=30.0)
    happens = trace([0.0, 0.0, 0.0, 200.0, 200.0], 100.0)
    result = simulate(world(growing), happens, always(0))
    assert sorted(result.start.tolist()) == [0.0, 20.0, 20.0, 200.0, 220.0]


def test_a_small_job_may_pass_a_large_one() -> None:
    large, small = service("large", cpu="2"), service("small")
    happens = trace([0.0, 1.0, 2.0, 3.0], 10.0, services=[large, small], workload=[1, 0, 1, 1])
    result = simulate(world(cluster(cpu=2.0)), happens, always(0))
    assert result.start.tolist() == [0.0, 20.0, 2.0, 10.0]


def test_the_shortest_slack_goes_first_where_the_line_is_so() -> None:
    services = [service("late", deadline=900.0), service("soon", deadline=90.0)]
    happens = trace([0.0, 1.0, 2.0], 10.0, services=services, workload=[0, 0, 1])
    result = simulate(world(cluster(order="deadline")), happens, always(0))
    assert result.start.tolist() == [0.0, 20.0, 10.0]


def test_a_shared_link_gives_each_its_part() -> None:
    """Two of 100 bytes at 10 a second: alone for 5 s, then half as fast each."""
    shared = replace(cluster(2), link=Link(10.0, shared=True))
    alone = replace(cluster(2), link=Link(10.0))
    happens = trace([0.0, 5.0], 1.0, size=100.0)
    assert simulate(world(shared), happens, always(0)).start.tolist() == [15.0, 20.0]
    assert simulate(world(alone), happens, always(0)).start.tolist() == [10.0, 15.0]


def test_what_runs_on_a_dead_target_fails_and_what_waits_there_waits() -> None:
    dead = replace(cluster(), down=((5.0, 50.0),))
    result = simulate(
        world(dead, place("l", "lambda", WARM)), trace([0.0, 1.0, 10.0], 10.0), always(0, 1)
    )
    assert result.target.tolist() == [1, 0, 1]
    assert result.start.tolist() == [5.5, 50.0, 10.5]


def test_what_never_comes_up_again_ends_nothing() -> None:
    gone = replace(cluster(), down=((5.0, inf),))
    result = simulate(world(gone), trace([0.0, 1.0], 3.0), always(0))
    assert result.done.tolist() == [True, False]
    policy = simulate(world(gone), trace([6.0], 3.0), policy_maker("fastest"))
    assert not policy.done.any()
    assert policy.attempts.tolist() == [3]


def test_a_job_that_waits_can_be_moved() -> None:
    places = world(cluster(), place("l", "lambda", WARM))
    result = simulate(places, trace([0.0, 1.0], 30.0), by(lambda *_: 0, {1: 1}))
    assert result.target.tolist() == [0, 1]
    assert result.start.tolist() == [0.0, 10.0]
