"""A pipeline over a cluster, Lambda and Batch, deployed by one command: docs/clusters.md, typed.

The cluster is the manager of `oscar-bridge up`, AWS is its endpoint; every stage really runs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import EXAMPLES
from tests.docs.pages import CLUSTERS, commands_of, run
from tests.standing import Up, up, why_no_npm
from tests.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(why_no_npm()), reason=f"the CDK app cannot run: {why_no_npm()}"),
]

BUCKET = "oscar-bridge-quakes"
MAPS = {f"maps/{name}.svg" for name in ("alaska", "north-pacific", "south-america", "south-asia")}
STAGES = {("split-regions", "oscar"), ("sum-energy", "aws-lambda"), ("draw-map", "aws-batch")}


@pytest.fixture
def typed(tmp_path: Path) -> Iterator[tuple[Up, Callable[[str], str]]]:
    """What types a line in a folder with the examples, where `up` stands."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    with up(tmp_path) as standing:
        yield (
            standing,
            lambda line: run(line, tmp_path, {**standing.variables, "HOME": str(tmp_path)}, 600),
        )


def test_the_page_from_its_top_to_its_end(typed: tuple[Up, Callable[[str], str]]) -> None:
    standing, type_in = typed
    said = {}
    for line in commands_of(CLUSTERS):
        if line.startswith("oscar-bridge jobs"):
            eventually(lambda: keys(standing) >= MAPS, 240)
            check_all_ran(type_in)
        said[line] = type_in(line)
    plan, apply, again, *_ = (text for line, text in said.items() if "hybrid.yaml" in line)
    for text in (plan, apply):
        assert "service of my-cluster" in text and "Lambda Function" in text
    assert "nothing to change" in again
    (jobs,) = (text for line, text in said.items() if line == "oscar-bridge jobs")
    assert all(service in jobs for service, _ in STAGES)
    (logs,) = (text for line, text in said.items() if line.startswith("oscar-bridge logs"))
    assert logs.strip()

    # The end keeps the data of both sides, and nothing else.
    assert keys(standing) >= MAPS
    assert json.loads(type_in("oscar-bridge ls --json"))["services"] == []
    assert standing.client("lambda").list_functions()["Functions"] != []  # the dispatcher's
    type_in("oscar-bridge get minio://quakes/in kept")

    check_swapped(standing, type_in)


def check_swapped(standing: Up, type_in: Callable[[str], str]) -> None:
    """Lambda writes to the cluster's MinIO, of which the file says nothing, and is read there."""
    client = standing.client("s3")
    for key in keys(standing):
        client.delete_object(Bucket=BUCKET, Key=key)
    type_in("oscar-bridge apply examples/hybrid/swapped.yaml --yes")
    type_in(f"oscar-bridge put s3://{BUCKET}/in examples/hybrid/data/great-earthquakes.csv")
    eventually(lambda: keys(standing) >= MAPS, 240)


def keys(standing: Up) -> set[str]:
    """What is in the pipeline's bucket on S3."""
    found = standing.client("s3").list_objects_v2(Bucket=BUCKET)
    return {one["Key"] for one in found.get("Contents", ())}


def check_all_ran(type_in: Callable[[str], str]) -> None:
    """One job on the cluster, four on Lambda and four on Batch, each with its output."""

    def over() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = json.loads(type_in("oscar-bridge jobs --json"))["jobs"]
        states = {one["state"] for one in found}
        assert not states & {"failed", "dead"}, found
        return found if len(found) >= 9 and states == {"succeeded"} else None

    jobs = eventually(over, 240)
    assert len(jobs) == 9
    assert {(one["service"], one["target"]) for one in jobs} == STAGES
