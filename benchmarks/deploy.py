"""What a plan costs, and an apply that has nothing to do, for a file of 100 services.

    python benchmarks/deploy.py

Everything is deployed to the local endpoint. The baseline is `plan --offline`, which only places;
making the stacks (the CDK app, a program of its own) is shown apart, because it dominates. Aim: a
second apply costs what a plan costs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from _measure import Measure, report, run, skipped

COMMAND = Path(sys.executable).with_name("oscar-bridge")
SERVICES = 100
STACKS = ("--stacks", "2", "--name", "many")
RUNS = 1


def service(number: int) -> str:
    """One service: a third of them on Batch."""
    mode = "batch" if number % 3 == 0 else "lambda"
    return f"""\
  - lambda:
      name: service-{number:03d}
      runtime: image
      execution_mode: {mode}
      memory: 512
      timeout: 60
      init_script: script.sh
      container: {{image: 'oscar-bridge/busybox:local'}}
      input:
      - {{storage_provider: s3, path: 'oscar-bridge-bench/in-{number}'}}
      output:
      - {{storage_provider: s3, path: 'oscar-bridge-bench/out-{number}'}}
"""


def write(folder: Path) -> Path:
    """The file, and the script that its services share."""
    (folder / "script.sh").write_text("true\n")
    path = folder / "many.yaml"
    path.write_text("functions:\n  aws:\n" + "".join(map(service, range(SERVICES))))
    return path


def synthesis(path: Path, env: dict[str, str]) -> Measure:
    """Only the CDK app, as a plan starts it."""
    context = {"fdl": str(path), "name": "many", "images": "as-is", "stacks": "2", "assets": "own"}
    with tempfile.TemporaryDirectory() as out:
        own = {**env, "CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": out}
        argv = [sys.executable, "-P", "-m", "cdk"]
        return run("the CDK app", argv, runs=RUNS, warm=0, env=own)


def measures(path: Path, env: dict[str, str]) -> list[Measure]:
    """All commands, in the order of a user."""
    plan = [COMMAND, "plan", path, *STACKS]
    apply = [COMMAND, "apply", path, *STACKS, "--yes"]
    found = [run("plan --offline", [*plan, "--offline"], runs=RUNS)]
    found.append(run("plan, nothing deployed", plan, runs=RUNS, warm=0, env=env))
    begun = time.perf_counter()
    found.append(run("first apply", apply, runs=1, warm=0, env=env))
    print(f"{SERVICES} services deployed in {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    found.append(synthesis(path, env))
    found.append(run("plan, nothing to change", plan, runs=RUNS, warm=0, env=env))
    found.append(run("apply, nothing to change", apply, runs=RUNS, warm=0, env=env))
    return found


def main() -> None:
    """Deploy to an endpoint of its own and print the table."""
    needed = [one for one in ("ministack", "aws_cdk") if importlib.util.find_spec(one) is None]
    if needed or shutil.which("node") is None:
        skipped("deploy", f"needs {', '.join([*needed, 'Node.js'])}")
        return
    from bridge.local.aws import AwsEndpoint  # noqa: PLC0415  an extra

    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder))
        with AwsEndpoint(Path(folder) / "aws") as endpoint:
            env = {**endpoint.environment(), "OSCAR_BRIDGE_IMAGES": "as-is"}
            os.environ.pop("AWS_PROFILE", None)
            report(f"plan and apply of {SERVICES} services", measures(path, env), "plan --offline")


if __name__ == "__main__":
    main()
