"""Traces: those that are made up, and those in the formats of published data sets.

The fixtures are made by hand after the data sets' descriptions; no line of theirs is in them.
"""

from __future__ import annotations

import numpy as np
import pytest

from bridge.errors import PlacementError
from bridge.simulate import azure_2019, load_trace, synthetic
from tests.simulate.make import service

AZURE_2021 = """app,func,end_timestamp,duration
aaaa,f1,10.5,0.5
bbbb,f1,9.0,2.0
aaaa,f1,20.0,0.25
"""
HUAWEI = """time_frontend,requestID,funcName,podID,userID,runtimeCost,requestBodySize
100.1,r1,296,pool22-300-128-0000618412,224,0.02,1018
100.9,r2,297,pool24-600-512-0000618413,225,1.5,
"""
ALIBABA = """name,cpu_milli,memory_mib,num_gpu,qos,creation_time,deletion_time,scheduled_time
pod-1,8000,30720,1,LS,1000,1600,1100
pod-2,4000,15360,0,BE,900,950,
pod-3,8000,30720,1,LS,1200,1300,1200
"""
COUNTS = "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no1,a1,f1,http,2,0,1\no1,a1,f2,timer,1,1,1\n"
DURATIONS = (
    "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,"
    + ",".join(f"percentile_Average_{p}" for p in (0, 1, 25, 50, 75, 99, 100))
    + "\no1,a1,f1,100,3,50,400,50,50,80,100,200,400,400\n"
)


def test_a_made_up_day_is_what_its_parameters_say() -> None:
    day = synthetic(20_000, seed=1)
    assert len(day) == 20_000
    roots = day.parent < 0
    assert (np.diff(day.arrival[roots]) >= 0).all()
    assert day.arrival.max() < 86_400 + 100
    names = [w.service.name for w in day.workloads]
    assert len(set(names)) == len(names)
    counts = np.bincount(day.workload[roots], minlength=len(names))
    assert counts[0] > 5 * counts[20] > 0
    typical = np.array([w.typical for w in day.workloads])[:1000]
    assert np.log(typical).mean() == pytest.approx(-0.38, abs=0.35)
    staged = np.isin(day.workload, [i for i, n in enumerate(names) if n.startswith("radiomics")])
    assert staged.sum() % 9 == 0  # one segmentation, four features, four reports
    noon = (day.arrival > 32_400) & (day.arrival < 54_000)
    night = (day.arrival < 10_800) | (day.arrival > 75_600)
    assert noon.sum() > 1.3 * (night & roots).sum()


def test_given_services_are_the_only_ones() -> None:
    made = synthetic(50, given=[service("one"), service("two")])
    assert [w.service.name for w in made.workloads] == ["one", "two"]
    with pytest.raises(PlacementError):
        synthetic(0)


def test_azure_2021() -> None:
    found = load_trace(AZURE_2021.splitlines())
    assert found.arrival.tolist() == [0.0, 3.0, 12.75]
    assert found.run.tolist() == [2.0, 0.5, 0.25]
    assert found.workload.tolist() == [0, 1, 1]
    assert [w.owner for w in found.workloads] == ["bbbb", "aaaa"]
    assert len(load_trace(AZURE_2021.splitlines(), most=1)) == 1


def test_huawei_2025() -> None:
    found = load_trace(HUAWEI.splitlines())
    assert found.arrival.tolist() == pytest.approx([0.0, 0.8])
    assert found.size.tolist() == [1018.0, 0.0]
    needs = [w.service.resources for w in found.workloads]
    assert [(str(n.cpu), n.memory >> 20) for n in needs] == [("0.3", 128), ("0.6", 512)]


def test_alibaba_gpu_2023() -> None:
    found = load_trace(ALIBABA.splitlines())
    assert found.run.tolist() == [50.0, 500.0, 100.0]
    assert [w.service.resources.gpu for w in found.workloads] == [0, 1]
    assert found.workload.tolist() == [0, 1, 1]


def test_azure_2019() -> None:
    found = azure_2019(COUNTS.splitlines(), DURATIONS.splitlines(), seed=3)
    assert len(found) == 3
    assert (found.run >= 0.05).all()
    assert (found.run <= 0.4).all()
    assert found.arrival[2] - found.arrival[0] > 60
    again = azure_2019(COUNTS.splitlines(), DURATIONS.splitlines(), seed=3)
    assert np.array_equal(found.run, again.run)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b\n1,2\n", "not a trace that is known"),
        (AZURE_2021 + "cccc,f9,soon,1\n", "line 5"),
        ("app,func,end_timestamp,duration\n", "no invocation"),
    ],
)
def test_what_is_no_trace_is_refused(text: str, why: str) -> None:
    with pytest.raises(PlacementError, match=why):
        load_trace(text.splitlines())
