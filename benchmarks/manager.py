"""The manager under load, each figure beside what the same server does without the work.

Events are posted over HTTP by clients in a process of their own to a manager in another, and are on
the disk when they are answered. "empty endpoint" is the same server stack without a database; "one
commit per event" is this manager without group commit. "placed meanwhile" has the manager's own
work going on beside: decisions are taken and stored for all that comes. Neither runs anything.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _measure import Measure, report

HERE = Path(__file__).parent
EVENTS = int(os.environ.get("BENCH_EVENTS", "6000"))
JOBS = int(os.environ.get("BENCH_JOBS", "100000"))
SERVICES = int(os.environ.get("BENCH_SERVICES", "5000"))
CLIENTS = (1, 16, 256)
KINDS = {
    "empty endpoint": "empty",
    "one commit per event": "each",
    "manager": "accept",
    "manager, placed meanwhile": "full",
}


@contextmanager
def served(mode: str, *more: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A server's port and its process."""
    with tempfile.TemporaryDirectory(prefix="bench-manager-", dir=Path.cwd()) as folder:
        argv = [sys.executable, str(HERE / "_served.py"), folder, mode, *more]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def load(port: int, clients: int, count: int, prefix: str = "") -> dict[str, float]:
    """Put load on a server; what its clients saw."""
    argv = [sys.executable, str(HERE / "_load.py"), str(port), str(clients), str(count), prefix]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def accepted(clients: int) -> None:
    """Events acknowledged per second."""
    rows = []
    for name, mode in KINDS.items():
        count = EVENTS if clients > 1 and mode != "each" else EVENTS // 6
        with served(mode) as (port, process):
            load(port, clients, 4 * clients, "warm")
            before = cpu_of(process.pid)
            found = load(port, clients, count)
            spent = (cpu_of(process.pid) - before) / count
        p50, p99 = (found[key] * 1000 for key in ("p50", "p99"))
        note = f"{count / found['seconds']:,.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
        note += f"{spent * 1e6:.0f} µs of processor"
        rows.append(Measure(name, found["seconds"] / count, runs=count, note=note, cpu=spent))
    several = "1 client" if clients == 1 else f"{clients} clients"
    report(f"Events, durable when answered, {several}: seconds per event", rows, "empty endpoint")


def cpu_of(pid: int) -> float:
    """Seconds of processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Bytes of memory that a process holds now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def memory() -> None:
    """What the manager holds while jobs wait for a target that is full."""
    rows = []
    steps = [JOBS // 100, JOBS // 10, JOBS // 2, JOBS]
    with served("full") as (port, process):
        queued = 0
        for step in steps:
            found = load(port, 64, step - queued, f"{step}-")
            took = found["seconds"] / (step - queued)
            queued = step
            note = f"{1 / took:,.0f}/s, {resident(process.pid) / 2**20:.0f} MiB resident now"
            rows.append(Measure(f"{step} jobs wait", took, resident(process.pid), note=note))
    report("Queued jobs: seconds per event, and memory", rows, f"{steps[0]} jobs wait")


def through() -> None:
    """Accepted jobs through placement and submit to a target that runs nothing."""
    with served("null") as (port, process):
        load(port, 64, EVENTS)
        process.send_signal(signal.SIGUSR1)
        assert process.stdout
        found: dict[str, Any] = json.loads(process.stdout.readline())
    count = found["jobs"]
    rows = [
        Measure(name, found[key] / count, runs=count, note=f"{count / found[key]:,.0f} jobs/s")
        for name, key in (("accepted to submitted", "submitted"), ("accepted to over", "over"))
    ]
    report("Jobs through a null target: seconds per job", rows, "accepted to submitted")


def listing() -> None:
    """Read the list of many services."""
    with served("accept", str(SERVICES)) as (port, _):
        times = []
        for _ in range(5):
            begun = time.perf_counter()
            answer = ask(port, "/system/services")
            times.append(time.perf_counter() - begun)
        one = time.perf_counter()
        ask(port, "/system/services/bench")
        one = time.perf_counter() - one
    found = json.loads(answer)
    assert len(found) == SERVICES
    begun = time.perf_counter()
    json.dumps(found)
    bare = time.perf_counter() - begun
    size = f"{len(answer) / 2**20:.1f} MiB"
    rows = [
        Measure("json.dumps of the answer", bare),
        Measure(f"GET /system/services of {SERVICES}", sorted(times)[2], runs=5, note=size),
        Measure("GET of one of them", one),
    ]
    report("Services: seconds per request", rows, rows[0].name)


def ask(port: int, path: str) -> bytes:
    """The body of an answer to the administrator."""
    login = b64encode(b"oscar:oscar").decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Basic {login}"}
    )
    with urllib.request.urlopen(request) as answer:
        body: bytes = answer.read()
    return body


if __name__ == "__main__":
    for number in CLIENTS:
        accepted(number)
    through()
    listing()
    memory()
