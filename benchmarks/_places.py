"""How long a service's script waits for its place: a Lambda invocation and a Batch job, locally."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks._measure import Measure, report, skipped
from bridge.local.executors import engine_available
from tests.conformance.places import IMAGE, Place, places

__all__ = ["measure"]

RUNS = 5
INNER = 200
SCRIPT = ":\n"
LOOP = f"i=0; while [ $i -lt {INNER} ]; do sh -c :; i=$((i+1)); done"


def measure() -> None:
    """One table for each engine that is here."""
    for engine in ("process", "container"):
        if engine == "container" and (why := engine_available()):
            skipped("Lambda and Batch in containers", why)
            continue
        with tempfile.TemporaryDirectory() as folder, places(engine, Path(folder)) as found:
            rows = [_bare(engine), _started(engine)]
            rows += [*_lambda(found["lambda"]), _batch(found["batch"])]
        report(f"Lambda and Batch on this machine, engine {engine}", rows, rows[0].name)


def _bare(engine: str) -> Measure:
    """The shell alone, once it is in its image."""
    return _timed("sh -c : in the same image", _in(engine, LOOP), INNER)


def _started(engine: str) -> Measure:
    return _timed("the same with the start of its container", _in(engine, ":"), 1)


def _in(engine: str, script: str) -> list[str]:
    contained = ["docker", "run", "--rm", "--entrypoint", "sh", IMAGE]
    return [*(contained if engine == "container" else ["sh"]), "-c", script]


def _timed(name: str, command: list[str], inner: int) -> Measure:
    took = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append((time.perf_counter() - start) / inner)
    return Measure(name, statistics.median(took), runs=RUNS)


def _lambda(place: Place) -> list[Measure]:
    """Synchronous invocations, as an AWS SDK makes them."""
    client = place.account.client("lambda")
    cold, warm = [], []
    for _ in range(RUNS):
        service = place.service(SCRIPT, outputs=())
        times = []
        for _ in range(1 + RUNS):
            start = time.perf_counter()
            answer = client.invoke(FunctionName=service.name, Payload=json.dumps({"a": 1}))
            answer["Payload"].read()
            times.append(time.perf_counter() - start)
            if "FunctionError" in answer:
                raise RuntimeError("the invocation failed")
        cold.append(times[0])
        warm += times[1:]
    return [
        Measure("cold invocation", statistics.median(cold), runs=len(cold)),
        Measure("warm invocation", statistics.median(warm), runs=len(warm)),
    ]


def _batch(place: Place) -> Measure:
    """From the call of submit to the script's first line."""
    service = place.service(SCRIPT)
    took = []
    for number in range(RUNS):
        job = place.job(service, f"{number}.txt")
        submitted = time.time()
        run = place.finish(service, job)
        if not run.ok:
            raise RuntimeError(run.update.reason)
        report = run.update.report
        took.append(report["started"] + report["phases"]["stage_in"] - submitted)
    return Measure("Batch: submit to script start", statistics.median(took), runs=RUNS)
