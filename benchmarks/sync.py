"""What the runtime's HTTP server costs per call, against a bare HTTP echo in the same run.

All are processes on this machine, asked in turns over one connection each. The bare echo (Python's
`http.server`) gives the body back and runs nothing. "echo + sh" runs the same script for each
request, its body on standard input: what any server must do that answers by a script.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks._measure import Measure, report

RUNS = int(os.environ.get("BENCH_RUNS", "100"))
SMALL = b"x" * 1000
LARGE = os.urandom(1 << 20) * 32
SCRIPT = "cat\n"
OURS = 'cat "$INPUT_FILE_PATH"\n'
ECHO = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if len(sys.argv) > 1:
            body = subprocess.run(["/bin/sh", sys.argv[1]], input=body, capture_output=True).stdout
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
print("port", server.server_address[1], file=sys.stderr, flush=True)
server.serve_forever()
"""


@contextmanager
def serving(command: list[str], env: dict[str, str]) -> Iterator[tuple[int, int, float]]:
    """A server's port, its process id, and the seconds until it listened."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr
    try:
        line = process.stderr.readline()
        yield int(line.split()[-1]), process.pid, time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def asker(port: int, path: str, body: bytes) -> Callable[[], None]:
    """Sends one request, always on the same connection, and reads the answer."""
    connection = HTTPConnection("127.0.0.1", port)

    def ask() -> None:
        connection.request("GET" if path.startswith("/_/") else "POST", path, body)
        answer = connection.getresponse()
        if answer.status != 200 or len(answer.read()) < min(len(body), 3):
            raise RuntimeError(f"{path} of port {port} answered {answer.status}")

    return ask


def measured(
    askers: dict[str, Callable[[], None]], runs: int, peaks: dict[str, int]
) -> list[Measure]:
    """Every asker `runs` times, in turns."""
    times: dict[str, list[float]] = {name: [] for name in askers}
    for number in range(runs + 3):
        for name, ask in askers.items():
            begun = time.perf_counter()
            ask()
            if number >= 3:
                times[name].append(time.perf_counter() - begun)
    return [
        Measure(name, statistics.median(found), peaks.get(name, 0), runs)
        for name, found in times.items()
    ]


@contextmanager
def peaks_of(servers: dict[str, int]) -> Iterator[dict[str, int]]:
    """The most resident bytes that any process of each server has had, as far as it was seen:
    of the server itself and of those that it forks, not of scripts."""
    found = dict.fromkeys(servers, 0)
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            for name, pid in servers.items():
                below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                found[name] = max(found[name], *(_peak(one) for one in (pid, *below)))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        over.set()
        looking.join()


def _peak(pid: int | str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def starts(commands: dict[str, tuple[list[str], dict[str, str]]]) -> list[Measure]:
    """Seconds until each server listens."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(max(3, RUNS // 10)):
        for name, (command, env) in commands.items():
            with serving(command, env) as (_, _, seconds):
                times[name].append(seconds)
    return [Measure(name, statistics.median(f), runs=len(f)) for name, f in times.items()]


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "script.sh").write_text(SCRIPT)
        (folder / "ours.sh").write_text(OURS)
        (folder / "service.json").write_text('{"name": "echo", "log_level": "CRITICAL"}')
        ours = {
            "BRIDGE_SERVICE_FILE": str(folder / "service.json"),
            "BRIDGE_SCRIPT_FILE": str(folder / "ours.sh"),
            "BRIDGE_WORK_DIR": name,
            "BRIDGE_HTTP_ADDRESS": "127.0.0.1:0",
        }
        echo = [sys.executable, "-c", ECHO]
        commands: dict[str, tuple[list[str], dict[str, str]]] = {
            "bare echo": (echo, {}),
            "echo + sh": ([*echo, str(folder / "script.sh")], {}),
            "ours": ([sys.executable, "-m", "bridge.supervisor.web"], ours),
        }
        with (
            serving(*commands["bare echo"]) as bare,
            serving(*commands["echo + sh"]) as shell,
            serving(*commands["ours"]) as own,
        ):
            small = {
                "bare echo": asker(bare[0], "/", SMALL),
                "ours, health": asker(own[0], "/_/health", b""),
                "echo + sh": asker(shell[0], "/", SMALL),
                "ours, call": asker(own[0], "/", SMALL),
            }
            report("1 kB in and out", measured(small, RUNS, {}), "bare echo")
            report("the same, to the script alone", measured(small, RUNS, {})[2:], "echo + sh")
            large = {
                "bare echo": asker(bare[0], "/", LARGE),
                "echo + sh": asker(shell[0], "/", LARGE),
                "ours, call": asker(own[0], "/", LARGE),
            }
            servers = {"bare echo": bare[1], "echo + sh": shell[1], "ours, call": own[1]}
            with peaks_of(servers) as peaks:
                measured(large, 1, {})
            report("32 MiB in and out", measured(large, max(3, RUNS // 20), peaks), "bare echo")
        report("until it listens", starts(commands), "bare echo")


if __name__ == "__main__":
    main()
