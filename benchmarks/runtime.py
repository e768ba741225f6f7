"""The runtime folder, the entries and their places beside the least that could do the same.

The first table is divided by the virtual environment's own `python -c pass`; the aim for the
supervisor, ready in the runtime folder, is below 4x. The second is divided by a bare `sh -c :`,
which is what a Lambda invocation cannot do without; one of its sides is AWS's own client of the
Runtime API. Then come Lambda and Batch on the local endpoint, and at last the supervisor by its
parts and beside OSCAR's own.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import _places, supervisor
from benchmarks._measure import Measure, report, run, skipped
from benchmarks._peers import install
from bridge import runtime
from bridge.errors import MissingToolError
from tests.lambda_runtime.runtime_api import Function

RUNS = 15
PYTHON = "python -c pass"
SHELL = "sh -c :"
EVENT = json.dumps({"event": "hello!", "job_id": "job-1"})


def service(folder: Path) -> dict[str, str]:
    """A service without stores whose script does nothing."""
    (folder / "service.json").write_text('{"name": "svc"}')
    (folder / "script.sh").write_text(":\n")
    return {
        "BRIDGE_SERVICE_FILE": str(folder / "service.json"),
        "BRIDGE_SCRIPT_FILE": str(folder / "script.sh"),
    }


def starts(built: Path | None, variables: dict[str, str]) -> list[Measure]:
    """How long programs need to start and to end."""
    env = {**variables, "EVENT": EVENT}
    module = [sys.executable, "-m", "bridge.supervisor"]
    rows = [
        run(PYTHON, [sys.executable, "-c", "pass"], runs=RUNS),
        run("supervisor --version, installed", [*module, "--version"], runs=RUNS),
        run("one empty job, installed", module, runs=RUNS, env=env),
    ]
    if built:
        program = built / "bin" / "bridge-supervisor"
        rows += [
            run("supervisor --version, runtime folder", [program, "--version"], runs=RUNS),
            run("one empty job, runtime folder", [program], runs=RUNS, env=env),
        ]
    return rows


def invocations(
    name: str, folder: Path, variables: dict[str, str], command: Sequence[str | Path]
) -> list[Measure]:
    """A cold invocation, from the process's start to its answer, and warm ones."""
    cold, warm = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        function = Function(folder, variables, command=command)
        assert function.invoke({}).ok
        cold.append(time.perf_counter() - start)
        for _ in range(10):
            start = time.perf_counter()
            assert function.invoke({}).ok
            warm.append(time.perf_counter() - start)
        function.close()
    return [
        Measure(f"cold invocation, {name}", statistics.median(cold), runs=len(cold)),
        Measure(f"warm invocation, {name}", statistics.median(warm), runs=len(warm)),
    ]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        variables = service(folder)
        built = build(folder / "bridge")
        report("Start of the supervisor", starts(built, variables), PYTHON)
        if built:
            size = sum(p.stat().st_size for p in built.rglob("*") if p.is_file())
            print(f"  the runtime folder has {size / 1e6:.1f} MB")
        rows = [run(SHELL, ["/bin/sh", "-c", ":"], runs=RUNS)]
        installed = [sys.executable, "-m", "lambda_runtime"]
        rows += invocations("installed", folder, variables, installed)
        if built:
            program = [built / "bin" / "bridge-lambda"]
            rows += invocations("runtime folder", folder, variables, program)
        if python := install(folder):
            client = [python, "-m", "awslambdaric", "peer_handler.handle"]
            found = {**variables, "PYTHONPATH": str(folder)}
            rows += invocations("awslambdaric that only starts the script", folder, found, client)
        report("Lambda entry", rows, SHELL)
    _places.measure()
    supervisor.main()


def build(target: Path) -> Path | None:
    """The runtime folder, None where it cannot be built."""
    try:
        return runtime.build(target)
    except MissingToolError as error:
        skipped("runtime folder", error.message)
        return None


if __name__ == "__main__":
    os.environ.pop("BRIDGE_REPORT", None)
    main()
