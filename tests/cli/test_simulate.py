"""simulate: a table for each policy, the same for a seed."""

from __future__ import annotations

import json
from pathlib import Path

from tests.command import EXAMPLES, bridge, write
from tests.simulate.test_traces import AZURE_2021, COUNTS, DURATIONS

DEMO = EXAMPLES / "demo" / "demo.yaml"


def test_policies_are_compared_on_the_same_trace() -> None:
    asked = ("simulate", "--invocations", "60", "--policy", "cheapest", "--policy", "fastest")
    done = bridge(*asked, "--json")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert [each["decider"] for each in told["policies"]] == ["cheapest", "fastest"]
    assert told["policies"][0]["cost"] < told["policies"][1]["cost"]
    assert told["invocations"] == 60
    assert json.loads(bridge(*asked, "--json").out) == told


def test_the_targets_and_services_of_a_file_are_taken() -> None:
    done = bridge("simulate", DEMO, "--invocations", "20", "--json")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert "lab-cluster" in told["targets"]
    assert told["policies"][0]["decider"] == "own"


def test_a_trace_of_a_data_set_is_read(tmp_path: Path) -> None:
    counts = "invocations_per_function_md.anon.d01.csv"
    write(tmp_path, {"a.csv": AZURE_2021, counts: COUNTS})
    done = bridge("simulate", "--trace", str(tmp_path / "a.csv"))
    assert done.status == 0, done.err
    assert "3 invocations" in done.out
    alone = bridge("simulate", "--trace", str(tmp_path / counts))
    assert alone.status == 2
    assert "function_durations_percentiles.anon.d01.csv" in alone.err
    write(tmp_path, {"function_durations_percentiles.anon.d01.csv": DURATIONS})
    assert bridge("simulate", "--trace", str(tmp_path / counts)).status == 0


def test_a_trace_or_a_policy_that_is_not_there_is_said() -> None:
    assert bridge("simulate", "--trace", "nowhere.csv").status == 2
    done = bridge("simulate", "--invocations", "5", "--policy", "wisest")
    assert done.status == 1
    assert "wisest" in done.err
