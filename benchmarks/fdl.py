"""What validation costs: the command against a bare interpreter, and how it grows with the file.

    python benchmarks/fdl.py

Aims: `oscar-bridge --help` and `validate` at most 10 times `python -c pass`; a file of 1,000
services in under 2 s and 200 MB, and linear.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from _measure import Measure, report, run, skipped

COMMAND = Path(sys.executable).with_name("oscar-bridge")
RUNS = 11
PARSE = "import sys; from pathlib import Path; from bridge.fdl import load; load(Path(sys.argv[1]))"


def service(number: int) -> str:
    """One service with a bit of everything that files usually have."""
    return f"""\
  - cluster-{number % 5}:
      name: service-{number}
      cpu: '1.0'
      memory: 1Gi
      image: ghcr.io/example/tool:{number}
      script: script.sh
      log_level: INFO
      input:
      - storage_provider: minio.default
        path: bucket-{number}/in
      output:
      - storage_provider: minio.default
        path: bucket-{number}/out
        suffix: [png, jpg]
      environment:
        Variables:
          MODE: fast
          LEVEL: "3"
"""


def write(folder: Path, services: int) -> Path:
    """A file with that many services, and the script that they share."""
    (folder / "script.sh").write_text("true\n")
    file = folder / f"{services}.yaml"
    body = "".join(service(number) for number in range(services))
    file.write_text(f"functions:\n  oscar:\n{body}")
    return file


def bare() -> Measure:
    """The virtual environment's own interpreter, doing nothing."""
    return run("python -c pass", [sys.executable, "-c", "pass"], runs=RUNS)


def commands(folder: Path) -> None:
    """The command line against a bare interpreter."""
    file = write(folder, 10)
    rows = [
        bare(),
        run("bridge.fdl.load of 10 services", [sys.executable, "-c", PARSE, file], runs=RUNS),
    ]
    for name, arguments in (
        ("oscar-bridge --help", ["--help"]),
        ("oscar-bridge validate, 10 services", ["validate", str(file)]),
    ):
        if works(arguments):
            rows.append(run(name, [COMMAND, *arguments], runs=RUNS))
        else:
            skipped(name, f"{COMMAND.name} {arguments[0]} does not work here yet")
    report("Start of a command (aim: at most 10x)", rows, "python -c pass")


def works(arguments: list[str]) -> bool:
    """Whether the command is installed and does that."""
    if not COMMAND.exists():
        return False
    done = subprocess.run([COMMAND, *arguments], capture_output=True, check=False)
    return done.returncode == 0


def growth(folder: Path) -> None:
    """How time and memory grow with the number of services."""
    rows = []
    for services in (100, 1000, 2000):
        argv = [sys.executable, "-c", PARSE, write(folder, services)]
        rows.append(run(f"{services} services", argv, runs=5))
    report("Validation (aim: 1,000 services under 2 s and 200 MB)", rows, "100 services")
    one = run("one", [sys.executable, "-c", PARSE, write(folder, 1)], runs=5).cpu
    hundred, thousand, more = (row.cpu - one for row in rows)
    print("  processor time without the start (linear: 10x and 2x):")
    print(f"  1000/100 = {thousand / hundred:.1f}x, 2000/1000 = {more / thousand:.2f}x")


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as name:
        # As an installed package has it: compiled once, by the run that does not count.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(name) / "bytecode")
        commands(Path(name))
        growth(Path(name))


if __name__ == "__main__":
    main()
