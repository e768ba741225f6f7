"""What holds for every world, trace and policy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import PlacementError
from bridge.simulate import (
    BatchModel,
    ClusterModel,
    FunctionsModel,
    Information,
    Place,
    Result,
    Setting,
    Spread,
    Trace,
    policy_maker,
    simulate,
    standard_world,
    summary,
    synthetic,
)
from tests.simulate.make import AT_ONCE, GIB, always, by, cluster, place, service, trace, world

FEW = Setting(attempts=2)
MIXED = world(
    place("c", "kubernetes", ClusterModel(2, 4.0, 16.0 * GIB, most_nodes=3, node_delay=30.0)),
    place("l", "lambda", FunctionsModel(concurrency=5), failures=0.1),
    place("b", "batch", BatchModel(vcpus=4.0, interruptions=20.0), down=((100.0, 300.0),)),
)


@given(st.integers(0, 10_000), st.sampled_from(["random", "balanced", "fastest"]))
@settings(max_examples=12)
def test_each_invocation_ends_once_and_no_target_is_overfull(seed: int, policy: str) -> None:
    happens = synthetic(150, seed=seed, services=6)
    crowd = replace(happens, arrival=np.where(happens.parent < 0, happens.arrival / 200, 0.0))
    result = simulate(MIXED, crowd, policy_maker(policy), replace(FEW, seed=seed))
    came = np.isfinite(result.arrival)
    assert np.isfinite(result.end[came]).all()
    assert (result.end[came] >= result.arrival[came]).all()
    assert (came | ~result.done).all()
    follows = crowd.parent >= 0
    assert (came[follows] == result.done[crowd.parent[follows]]).all()
    begun = result.arrival[follows & came]
    assert (begun == result.end[crowd.parent[follows & came]]).all()
    assert (result.attempts[came] >= 1).all()
    assert (result.attempts <= 2).all()
    _not_overfull(result, crowd, 0, 12.0)


def _not_overfull(result: Result, happens: Trace, target: int, cores: float) -> None:
    """Each holds its cores at least from the start of its script to its end."""
    there = (result.target == target) & result.done
    cpu = np.array([float(w.service.resources.cpu) for w in happens.workloads])[happens.workload]
    times = np.concatenate([result.end[there], result.start[there]])
    steps = np.concatenate([-cpu[there], cpu[there]])
    order = np.lexsort((steps, times))
    assert np.cumsum(steps[order]).max(initial=0.0) <= cores + 1e-6


def test_the_same_seed_gives_the_same_and_another_one_does_not() -> None:
    def run(seed: int) -> Result:
        happens = synthetic(300, seed=seed, services=20)
        return simulate(standard_world(8), happens, policy_maker(), Setting(seed))

    one, same, other = run(1), run(1), run(2)
    for name in ("target", "start", "end", "cost", "cold"):
        assert np.array_equal(getattr(one, name), getattr(same, name), equal_nan=True)
    assert not np.array_equal(one.end, other.end)


def test_luck_belongs_to_the_invocation_whoever_decides() -> None:
    """Two policies that send a job to the same kind of target see it start as slowly."""
    functions = place("l", "lambda", FunctionsModel(keep_alive=0.0))
    happens = trace([float(n) for n in range(40)])
    alone = simulate(world(functions), happens, always(0))
    second = simulate(world(cluster(), functions), happens, by(lambda call, _: call.number % 2))
    odd = np.arange(40) % 2 == 1
    assert np.array_equal(alone.end[odd], second.end[odd])


def _clusters(information: Information) -> float:
    """Mean response of a steady stream over four equal clusters that would just do."""
    places = [
        replace(cluster(4, 1.0), spec=replace(cluster().spec, name=f"c{n}")) for n in range(4)
    ]
    luck = np.random.default_rng(4)
    happens = trace(
        np.cumsum(luck.exponential(1 / 12.0, 2500)).tolist(), luck.exponential(1.0, 2500).tolist()
    )
    setting = Setting(information=information)
    result = simulate(world(*places), happens, policy_maker("fastest"), setting)
    return float((result.end - result.arrival).mean())


def test_old_news_make_waits_longer_and_own_decisions_help() -> None:
    fresh, old = _clusters(Information()), _clusters(Information(every=20.0))
    blind = _clusters(Information(every=20.0, lag=5.0, own=False))
    assert fresh < old < blind


def test_wrong_estimates_make_a_policy_choose_worse() -> None:
    """Of a slow and a fast target that both have room, who errs by ten takes the slow one often."""
    fast = place("fast", "kubernetes", ClusterModel(400, 1.0, 4.0 * GIB, start=AT_ONCE))
    slow = replace(fast, spec=replace(fast.spec, name="slow"), slowness=3.0)
    services = [service(f"s{n}") for n in range(40)]
    happens = trace(
        [float(n) for n in range(400)],
        10.0,
        services=services,
        workload=[n % 40 for n in range(400)],
    )

    def mean(spread: float) -> float:
        setting = Setting(information=Information(spread=spread))
        result = simulate(world(fast, slow), happens, policy_maker("fastest"), setting)
        return float((result.end - result.arrival).mean())

    assert mean(1.0) == 10.0
    assert mean(10.0) > 11.0


def test_a_policy_without_a_quick_form_says_so_and_gets_what_decide_says() -> None:
    happens = synthetic(30, services=5)
    for policy, slow in (("balanced", False), ("topsis", True)):
        result = simulate(standard_world(6), happens, policy_maker(policy))
        assert bool(result.notes) is slow
        assert result.done.all()


def test_the_summary_counts_what_there_is() -> None:
    services = [service("a", deadline=1.5), service("b")]
    happens = trace([0.0, 0.0, 0.0], 1.0, services=services, workload=[0, 0, 1])
    places = world(cluster())
    found = summary(simulate(places, happens, always(0)), happens, places)
    assert (found.done, found.makespan, found.missed) == (3, 3.0, 0.5)
    assert found.p50 == 2.0
    assert found.by_target == {"c": 3}
    assert found.fairness == pytest.approx((1.5 + 3.0) ** 2 / (2 * (1.5**2 + 3.0**2)))


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (trace([1.0, 0.0]), "order of their arrival"),
        (trace([0.0, float("nan")]), "not a number"),
        (trace([0.0, 0.0], parent=[1, -1]), "before the one that starts it"),
    ],
)
def test_a_trace_that_cannot_be_is_refused(happens: Trace, why: str) -> None:
    with pytest.raises(PlacementError, match=why):
        simulate(world(cluster()), happens, always(0))


def test_a_setting_that_makes_no_sense_is_refused() -> None:
    happens = trace([0.0])
    for information in (Information(lag=1.0), Information(bias=0.0), Information(spread=0.5)):
        with pytest.raises(PlacementError):
            simulate(world(cluster()), happens, always(0), Setting(information=information))
    with pytest.raises(PlacementError, match="not there"):
        simulate(world(cluster()), happens, always(7))


def test_a_name_stands_for_one_place() -> None:
    twice: tuple[Place, ...] = (cluster(), cluster())
    with pytest.raises(PlacementError, match="two targets named c"):
        simulate(world(*twice), trace([0.0]), policy_maker("fastest"))
    start = replace(twice[0], model=replace(twice[0].model, start=Spread(2.0, 0.5, 3.0)))
    result = simulate(world(start), trace([0.0] * 50), always(0), Setting(seed=5))
    assert (result.start[0] - result.arrival[0]) <= 3.0


def test_the_example_of_the_docs_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulating.md").read_text()
    exec(page.partition("```python\n")[2].partition("```")[0], {})
    assert "invocations=500" in capsys.readouterr().out
