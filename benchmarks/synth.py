"""What it costs to make stacks of a file, and which part of it: Python, the CDK, the dispatcher.

    python benchmarks/synth.py

`python -m cdk` for one and for 100 services beside an empty CDK app in the same run, and the parts
of a run in one process. The facts are made up, so that AWS is not asked.

Aim: 100 services at most twice an empty app.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _measure import Measure, report, run

from bridge.fdl import load
from cdk import Base, Facts, Settings, code, select, wanted

RUNS = 3
ACCOUNT = "111122223333"
REGION = "eu-west-1"
FACTS = {
    "account": ACCOUNT,
    "region": REGION,
    "vpc": "vpc-0a1b2c3d",
    "subnets": ["subnet-0a1b2c3d"],
}
EMPTY = "import aws_cdk; app = aws_cdk.App(); aws_cdk.Stack(app, 'Empty'); app.synth()"
QUIET = {
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": ",".join(map(str, range(18, 40))),
    "AWS_REGION": REGION,
    # As the app does it.
    "CDK_VALIDATION": "false",
}


def write(folder: Path, services: int) -> Path:
    """A file of that many services, half on Lambda, half on both."""
    (folder / "script.sh").write_text("true\n")
    lines = ["functions:", "  aws:"]
    for number in range(services):
        mode = "lambda-batch" if number % 2 else "lambda"
        lines += [
            "  - lambda:",
            f"      name: service-{number}",
            f"      execution_mode: {mode}",
            "      init_script: script.sh",
            "      container: {image: example/image}",
            f"      input: [{{storage_provider: s3, path: bucket-{number // 10}/in-{number}}}]",
            f"      output: [{{storage_provider: s3, path: bucket-{number // 10}/out-{number}}}]",
        ]
    file = folder / f"services-{services}.yaml"
    file.write_text("\n".join(lines) + "\n")
    return file


def context(file: Path, stacks: int) -> dict[str, str]:
    """What the CDK CLI would pass on."""
    facts = json.dumps(FACTS)
    return {"fdl": str(file), "images": "as-is", "facts": facts, "stacks": str(stacks)}


def app(name: str, file: Path, stacks: int, folder: Path) -> Measure:
    """The app as the CDK CLI runs it."""
    given = json.dumps(context(file, stacks))
    env = {**QUIET, "CDK_CONTEXT_JSON": given, "CDK_OUTDIR": str(folder / name.replace(" ", "-"))}
    return run(name, [sys.executable, "-m", "cdk"], runs=RUNS, env=env)


def whole(folder: Path) -> None:
    """Programs from start to end."""
    env = {**QUIET, "CDK_OUTDIR": str(folder / "empty")}
    rows = [
        run("an empty app", [sys.executable, "-c", EMPTY], runs=RUNS, env=env),
        app("1 service", write(folder, 1), 1, folder),
        app("100 services", write(folder, 100), 2, folder),
    ]
    report("python -m cdk", rows, "an empty app")


def parts(folder: Path) -> None:
    """The steps of one run for 100 services, in their order."""
    rows: list[Measure] = []

    def step(name: str, work: Callable[[], object]) -> object:
        start, cpu = time.perf_counter(), time.process_time()
        done = work()
        spent = time.process_time() - cpu
        rows.append(Measure(name, time.perf_counter() - start, cpu=spent))
        return done

    file = write(folder, 100)
    settings = Settings.read(context(file, 2))
    facts = Facts.parse(json.dumps(FACTS))
    base = Base(settings.prefix, ACCOUNT, REGION)
    document = step("read and validate the file", lambda: load(file))
    selection = step("ask the scheduler", lambda: select(document, REGION))  # type: ignore[arg-type]
    step("work out what is wanted", lambda: wanted(selection, facts, base, {}))  # type: ignore[arg-type]
    step("gather the dispatcher's code", lambda: code.assemble(folder / "code"))
    build = step("import the CDK", lambda: __import__("cdk.app", fromlist=["x"]).build_app)
    out = str(folder / "parts")
    made = step(
        "make constructs and assets",
        lambda: build(selection, settings, facts, {}, outdir=out),  # type: ignore[operator]
    )
    step("write and check templates", made.synth)  # type: ignore[attr-defined]
    total = Measure("all", sum(one.seconds for one in rows), cpu=sum(one.cpu for one in rows))
    report("parts, 100 services (cpu: of Python alone, without Node)", [*rows, total], "all")


def main() -> None:
    os.environ.update(QUIET)
    with tempfile.TemporaryDirectory() as name:
        whole(Path(name))
        parts(Path(name))


if __name__ == "__main__":
    main()
