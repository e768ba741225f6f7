"""Whole runs with a real cluster: `oscar-bridge run --cluster`, and what it leaves there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bridge.targets.kubernetes import Connection
from bridge.targets.kubernetes.resources import NAMESPACES, PODS
from tests.command import EXAMPLES, Done, bridge, service
from tests.runs import SHOUT, Workshop, jobs_of, until
from tests.waiting import eventually

pytestmark = [pytest.mark.kubernetes, pytest.mark.docker]
HYBRID = EXAMPLES / "hybrid"
QUAKES = HYBRID / "data" / "great-earthquakes.csv"
MAIN = "oscar-container"


@pytest.fixture
def shop(cluster: Connection, runtime_image: str, tmp_path: Path) -> Iterator[Workshop]:
    """A place for one run; afterwards nothing of it may be left here, and its namespaces go."""
    made = Workshop(tmp_path)
    yield made
    made.check_left_nothing()


def some_quakes(shop: Workshop, *regions: str) -> Path:
    """The example's earthquakes of some regions, so that fewer functions and jobs start."""
    head, *rows = QUAKES.read_text().splitlines(keepends=True)
    kept = [row for row in rows if row.split(",")[4] in regions]
    return shop.inputs({"quakes.csv": "".join([head, *kept]).encode()}) / "quakes.csv"


def by_hand(quakes: Path, folder: Path) -> dict[str, bytes]:
    """What the example's scripts make of a file, one after the other, without any of ours."""
    found = [quakes]
    for script in ("split-regions", "sum-energy", "draw-map"):
        output = folder / script
        output.mkdir(parents=True)
        for path in found:
            told = {"INPUT_FILE_PATH": str(path), "TMP_OUTPUT_DIR": str(output), "SOURCE": "USGS"}
            command = ["sh", HYBRID / f"{script}.sh"]
            subprocess.run(command, check=True, capture_output=True, env=os.environ | told)
        found = sorted(output.iterdir())
    return {f"draw-map/{path.name}": path.read_bytes() for path in found}


def pods_of(cluster: Connection, name: str) -> list[dict[str, Any]]:
    """The pods of a service's jobs in the namespaces of runs."""
    found = cluster.find_all(PODS, labels=f"oscar_service={name},oscar-bridge/job", namespace="")
    return [pod for pod in found if pod["metadata"]["namespace"].startswith("oscar-bridge-")]


def watched(cluster: Connection, name: str, run: Future[Done]) -> dict[str, tuple[Any, str]]:
    """Pod and log of each job of the service that has succeeded while the run lasts, by job."""
    seen: dict[str, tuple[Any, str]] = {}

    while wait([run], timeout=0.5).not_done:
        for pod in pods_of(cluster, name):
            facts = pod["metadata"]
            job = facts["annotations"]["oscar-bridge/job-id"]
            if job not in seen and pod["status"]["phase"] == "Succeeded":
                lines = cluster.log(facts["name"], MAIN, namespace=facts["namespace"])
                seen[job] = (pod, b"\n".join(lines).decode())
    return seen


def on_cluster(shop: Workshop, cluster: Connection, fdl: str, quakes: Path, name: str) -> Any:
    """Run an example; how it went, and what of a service was on the cluster."""
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(
            shop.run, HYBRID / fdl, quakes, engine="container", more="--json --cluster"
        )
        seen = watched(cluster, name, going)
        done = going.result()
    assert done.status == 0, (done.err, done.out[-4000:])
    assert shop.fetched() == by_hand(quakes, shop.folder / "by-hand")
    return done, seen


def check_on_cluster(done: Done, seen: dict[str, Any], name: str) -> None:
    """Every job of the service ran in a pod of the cluster, under our labels."""
    jobs = jobs_of(done, name)
    assert jobs and {job["target"] for job in jobs} == {"my-cluster"}
    for job in jobs:
        pod, log = seen[job["id"]]
        labels = pod["metadata"]["labels"]
        assert labels["oscar_service"] == name
        assert labels["app.kubernetes.io/managed-by"] == "oscar-bridge"
        assert pod["metadata"]["ownerReferences"][0]["kind"] == "Job"
        assert pod["spec"]["nodeName"]
        assert "[supervisor]" in log


def check_timeline(done: Done, *stages: str) -> None:
    """Each job goes through its moments in order, each stage begins when one before has ended."""
    names = ["accepted", "placed", "submitted", "started", "ended"]
    for job in done.json["jobs"]:
        assert list(job["timeline"]) == names
        moments = list(job["timeline"].values())
        assert moments[0] <= moments[1] <= moments[2] and moments[3] <= moments[4], job
        assert job["phases"].keys() == {"stage_in", "script", "stage_out"}
    for before, after in pairwise(stages):
        first = min(job["timeline"]["started"] for job in jobs_of(done, before))
        assert all(job["timeline"]["accepted"] > first for job in jobs_of(done, after))


def namespace_of(done: Done) -> str:
    """The namespace that the run has told of."""
    (note,) = [one for one in done.json["notes"] if "in the namespace" in one]
    return str(note.split()[-1])


def goes(cluster: Connection, namespace: str) -> bool:
    """True when the namespace is gone, or going with all in it."""
    found = cluster.find(NAMESPACES, namespace)
    return found is None or "deletionTimestamp" in found["metadata"]


@pytest.mark.slow
def test_cluster_then_lambda_then_batch(shop: Workshop, cluster: Connection) -> None:
    quakes = some_quakes(shop, "alaska", "south-asia")
    done, seen = on_cluster(shop, cluster, "hybrid.yaml", quakes, "split-regions")
    check_on_cluster(done, seen, "split-regions")
    ((_, log),) = seen.values()
    assert "south-asia: 6 earthquakes" in log
    stages = ("split-regions", "sum-energy", "draw-map")
    assert [len(jobs_of(done, name)) for name in stages] == [1, 2, 2]
    check_timeline(done, *stages)
    assert goes(cluster, namespace_of(done))


@pytest.mark.slow
def test_lambda_then_cluster_then_batch(shop: Workshop, cluster: Connection) -> None:
    quakes = some_quakes(shop, "alaska")
    done, seen = on_cluster(shop, cluster, "swapped.yaml", quakes, "sum-energy")
    check_on_cluster(done, seen, "sum-energy")
    ((_, log),) = seen.values()
    assert "alaska: 5691 PJ" in log
    stages = ("split-regions", "sum-energy", "draw-map")
    assert [len(jobs_of(done, name)) for name in stages] == [1, 1, 1]
    check_timeline(done, *stages)
    assert goes(cluster, namespace_of(done))


def declared(kubeconfig: str, cpu: str) -> str:
    """A file whose target names its cluster."""
    return (
        f"targets:\n  home: {{kind: kubernetes, settings: {{kubeconfig: {kubeconfig}}}}}\n"
        "functions:\n  bridge:\n"
        "  - name: shout\n    image: oscar-bridge/busybox:local\n    memory: 64Mi\n"
        f"    cpu: {cpu}\n    script: shout.sh\n    placement: {{targets: [home]}}\n"
        "    input: [{storage_provider: minio.default, path: data/in}]\n"
        "    output: [{storage_provider: minio.default, path: data/out}]\n"
    )


def test_what_the_cluster_can_never_run_is_said_before_anything_starts(
    shop: Workshop, cluster: Connection
) -> None:
    fdl = shop.fdl(shout=SHOUT)
    fdl.write_text(declared(os.environ["KUBECONFIG"], "4096"))
    said = shop.run(fdl, shop.inputs({"x": b"x"}), engine="container", more="").failed(1)
    assert "no node has 4096 CPU: the most is" in said
    assert "starting servers" not in said
    planned = bridge("plan", fdl, "--json").json
    assert any(
        note.startswith("shout can never run on cluster ") and "no node has 4096 CPU" in note
        for note in planned["notes"]
    )


def test_plain_processes_and_a_cluster_do_not_go_together(shop: Workshop) -> None:
    fdl = shop.fdl(service("shout", takes=["data/in"], gives=["data/out"]), shout=SHOUT)
    done = shop.run(fdl, shop.inputs({"x": b"x"}), engine="process", more="--cluster")
    assert "jobs on a cluster and plain processes do not go together" in done.failed(2)


@pytest.mark.slow
def test_a_declared_cluster_needs_no_flag_and_a_killed_run_leaves_nothing_there(
    shop: Workshop, cluster: Connection
) -> None:
    fdl = shop.fdl(shout="sleep 600\n")
    fdl.write_text(declared(os.environ["KUBECONFIG"], "'0.1'"))
    child = shop.start(fdl, shop.inputs({"x": b"x"}), engine="container")
    (note,) = [line for line in until(child, "running") if "in the namespace" in line]
    namespace = note.split()[-1]
    assert eventually(lambda: bool(cluster.find_all(PODS, namespace=namespace)))
    child.kill()
    child.communicate(timeout=60)
    assert eventually(lambda: goes(cluster, namespace))
