"""What the supervisor costs per job: 10 KB in, a copy, 10 KB out, against bare curl and sh.

All sides move the same objects of the same server in the same run, in turns; one of them is
OSCAR's own supervisor, from PyPI. curl has presigned URLs. Bytecode is compiled before, as in an
installed package.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks._measure import skipped
from benchmarks._peers import install, supervisor_environment
from bridge.events import minio_record
from tests.servers import ObjectStore, juicefs_gateway, juicefs_program

RUNS = int(os.environ.get("BENCH_RUNS", "25"))
KEY = "in/data.bin"
SIZE = 10_000
SCRIPT = 'cat "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/data.bin"\n'
BARE = """set -e
curl -sf -o "$WORK/in" "$GET"
INPUT_FILE_PATH="$WORK/in" TMP_OUTPUT_DIR="$WORK/out" sh "$WORK/script.sh"
curl -sf -o /dev/null -T "$WORK/out/data.bin" "$PUT"
"""
STARTER = """
import os, sys, time
while line := sys.stdin.readline():
    argv, env = eval(line)
    null = [(os.POSIX_SPAWN_OPEN, 0, '/dev/null', os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, '/dev/null', os.O_WRONLY, 0)]
    begun = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, env, file_actions=null)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - begun
    print(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, status, flush=True)
"""
IMPORTS = (
    "from bridge.supervisor._lazy import defer; defer('inspect'); "
    "import bridge.supervisor.once, bridge.storage._s3, os; os._exit(0)"
)


@dataclass(slots=True)
class Row:
    """All runs of one line of the table: wall and CPU seconds, resident bytes."""

    name: str
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: int = 0

    def time(self, argv: list[str], env: Mapping[str, str]) -> None:
        """Run a command once, with all that it starts."""
        wall, cpu, peak, status = _starter().run(argv, env)
        if status:
            raise RuntimeError(f"{argv[:4]} ended with status {status}")
        self.wall.append(wall)
        self.cpu.append(cpu)
        self.peak = max(self.peak, peak)


class Starter:
    """A small process that starts the others: on Linux a peak is never below the parent's."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", STARTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(self, argv: list[str], env: Mapping[str, str]) -> tuple[float, float, int, int]:
        """Wall and CPU seconds, peak bytes and exit status of one command."""
        assert self._process.stdin
        assert self._process.stdout
        full = [shutil.which(argv[0]) or argv[0], *argv[1:]]
        self._process.stdin.write(repr((full, dict(env))).encode() + b"\n")
        self._process.stdin.flush()
        wall, cpu, peak, status = self._process.stdout.readline().split()
        return float(wall), float(cpu), int(peak) * 1024, int(status)


@cache
def _starter() -> Starter:
    return Starter()


def main() -> None:
    """Print the table."""
    if not shutil.which("curl") or juicefs_program() is None:
        skipped("supervisor", "it needs curl and juicefs")
        return
    with tempfile.TemporaryDirectory() as work, juicefs_gateway() as server:
        folder = Path(work)
        env = _prepare(folder, server)
        _print(_cold(env, folder, server), "bare curl + sh")
        _print(_parts(env, folder), "python -c pass")
        _print(_warm(env, folder), "the copy alone (sh)")


def _prepare(folder: Path, server: ObjectStore) -> dict[str, str]:
    bucket, client = server.make_bucket(), server.client()
    client.put_object(bucket, KEY, BytesIO(os.urandom(SIZE)), SIZE)
    secrets = folder / "secrets" / "minio.default"
    secrets.mkdir(parents=True)
    (secrets / "accessKey").write_text(server.access_key)
    (secrets / "secretKey").write_text(server.secret_key)
    (folder / "out").mkdir()
    (folder / "script.sh").write_text(SCRIPT)
    service = {
        "name": "bench",
        "output": [{"storage_provider": "minio", "path": f"{bucket}/out"}],
        "storage_providers": {"minio": {"default": {"endpoint": server.endpoint}}},
        "log_level": "ERROR",
    }
    (folder / "service.json").write_text(json.dumps(service))
    (folder / "event.json").write_text(json.dumps(minio_record(bucket, KEY, size=SIZE)))
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "PYTHONPYCACHEPREFIX": str(folder / "pyc"),
        "WORK": str(folder),
        "GET": client.presigned_get_object(bucket, KEY),
        "PUT": client.presigned_put_object(bucket, "out/bare.bin"),
        "BRIDGE_SERVICE_FILE": str(folder / "service.json"),
        "BRIDGE_SCRIPT_FILE": str(folder / "script.sh"),
        "BRIDGE_EVENT_FILE": str(folder / "event.json"),
        "BRIDGE_SECRETS_DIR": str(folder / "secrets"),
        "BRIDGE_REPORT": str(folder / "report.json"),
        "BRIDGE_WORK_DIR": str(folder),
    }


def _cold(env: Mapping[str, str], folder: Path, server: ObjectStore) -> list[Row]:
    """One process per job."""
    sides = {
        "bare curl + sh": (["sh", "-c", BARE], dict(env)),
        "supervisor, one process per job": ([sys.executable, "-m", "bridge.supervisor"], dict(env)),
    }
    if python := install(folder):
        upstream = "sh", "-c", f"exec {python} -m faassupervisor.supervisor < $BRIDGE_EVENT_FILE"
        sides["upstream's supervisor (from source)"] = (list(upstream), _of_upstream(env, server))
    rows = {name: Row(name) for name in sides}
    for number in range(RUNS + 1):
        if number == 1:  # the first round compiles and warms the server
            rows = {name: Row(name) for name in sides}
        for name, (argv, variables) in sides.items():
            rows[name].time(argv, variables)
            _must_have_written(server, name)
    return list(rows.values())


def _must_have_written(server: ObjectStore, name: str) -> None:
    """A side that failed without a word would look fast."""
    client = server.client()
    (bucket,) = client.list_buckets()
    found = [one.object_name for one in client.list_objects(bucket.name, "out/")]
    if not found:
        raise RuntimeError(f"{name} wrote nothing")
    for key in found:
        client.remove_object(bucket.name, str(key))


def _of_upstream(env: Mapping[str, str], server: ObjectStore) -> dict[str, str]:
    service = json.loads(Path(env["BRIDGE_SERVICE_FILE"]).read_text())
    keys = {"access_key": server.access_key, "secret_key": server.secret_key}
    mine = supervisor_environment(service, keys, server.endpoint, SCRIPT)
    wanted = ("PATH", "PYTHONPYCACHEPREFIX", "BRIDGE_EVENT_FILE")
    return {**mine, **{name: env[name] for name in wanted}}


def _parts(env: Mapping[str, str], folder: Path) -> list[Row]:
    """Where the time of one job goes."""
    empty, imports = Row("python -c pass"), Row("interpreter + imports")
    whole = Row("whole job")
    phases = {name: Row(f"  of it {name}") for name in ("stage_in", "script", "stage_out")}
    for _ in range(RUNS):
        empty.time([sys.executable, "-c", "pass"], env)
        imports.time([sys.executable, "-c", IMPORTS], env)
        whole.time([sys.executable, "-m", "bridge.supervisor"], env)
        report = json.loads((folder / "report.json").read_text())
        for name, row in phases.items():
            row.wall.append(report["phases"][name])
    return [empty, imports, whole, *phases.values()]


def _warm(env: Mapping[str, str], folder: Path) -> list[Row]:
    """One process for all jobs, against the script itself."""
    alone, warm = Row("the copy alone (sh)"), Row("supervisor --serve, per job")
    script_env = {**env, "INPUT_FILE_PATH": __file__, "TMP_OUTPUT_DIR": str(folder)}
    with _served(env, folder) as ask:
        ask()
        for _ in range(RUNS):
            alone.time(["sh", str(folder / "script.sh")], script_env)
            begun = time.perf_counter()
            ask()
            warm.wall.append(time.perf_counter() - begun)
    return [alone, warm]


@contextmanager
def _served(env: Mapping[str, str], folder: Path) -> Iterator[Callable[[], None]]:
    server = subprocess.Popen(
        [sys.executable, "-m", "bridge.supervisor", "--serve"],
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin
    assert server.stdout
    source, answers = server.stdin, server.stdout
    request = {
        "service_file": env["BRIDGE_SERVICE_FILE"],
        "script_file": env["BRIDGE_SCRIPT_FILE"],
        "event": json.loads((folder / "event.json").read_text()),
        "log": str(folder / "log"),
        "secrets_dir": env["BRIDGE_SECRETS_DIR"],
    }

    def ask() -> None:
        source.write(json.dumps(request).encode() + b"\n")
        source.flush()
        answer = json.loads(answers.readline())
        if answer["state"] != "succeeded":
            raise RuntimeError(answer["reason"])

    try:
        yield ask
    finally:
        source.close()
        server.wait()


def _print(rows: list[Row], baseline: str) -> None:
    base = next(row for row in rows if row.name == baseline)
    width = max(len(row.name) for row in rows)
    print(f"\n{'':<{width}}  {'median':>9}  {'wall':>7}  {'CPU':>7}  {'peak':>8}   of {baseline}")
    for row in rows:
        wall = statistics.median(row.wall)
        ratio = f"{wall / statistics.median(base.wall):.2f}x"
        cpu = f"{statistics.median(row.cpu) / statistics.median(base.cpu):.2f}x" if row.cpu else "-"
        peak = f"{row.peak / 2**20:.0f} MiB" if row.peak else "-"
        print(f"{row.name:<{width}}  {wall * 1000:>6.1f} ms  {ratio:>7}  {cpu:>7}  {peak:>8}")


if __name__ == "__main__":
    main()
