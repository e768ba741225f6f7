"""Clients that send events as fast as they are answered, in a process of their own.

    python benchmarks/_load.py PORT CLIENTS EVENTS [PREFIX]

Each client has one connection and waits for each answer. Prints one JSON object: seconds of all,
the median and the 99th percentile of one, all in seconds. They know just enough of HTTP to be
light: it is the server that is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).parent.parent))

from bridge.events import minio_record

with contextlib.suppress(ImportError):
    import uvloop

    uvloop.install()


def requests(count: int, prefix: str) -> list[bytes]:
    """Requests as MinIO sends them, each with an object of its own."""
    marked = minio_record("bench", "in/KEY", size=10_000, etag="KEY", sequencer="17A0")
    template = json.dumps(marked)
    found = []
    for number in range(count):
        body = template.replace("KEY", f"{prefix}{number:08x}").encode()
        head = (
            "POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer a-token\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        found.append(head.encode() + body)
    return found


class Client(asyncio.Protocol):
    """Sends the next request when the last one was answered."""

    def __init__(self, waiting: list[bytes], times: list[float], over: asyncio.Future[None]):
        self.waiting, self.times, self.over = waiting, times, over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self.transport = cast("asyncio.Transport", transport)
        self.send()

    def send(self) -> None:
        """The next request, or the end."""
        if not self.waiting:
            self.over.set_result(None)
            self.transport.close()
            return
        self.begun = time.perf_counter()
        self.transport.write(self.waiting.pop())

    def data_received(self, data: bytes) -> None:
        """An answer; they have no bodies, so each comes in one piece."""
        if not data.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"answered {data[:60]!r}")
        self.times.append(time.perf_counter() - self.begun)
        self.send()


async def run(port: int, clients: int, waiting: list[bytes]) -> tuple[float, list[float]]:
    """Seconds of all, and those of each."""
    loop = asyncio.get_running_loop()
    times: list[float] = []
    ends = [loop.create_future() for _ in range(clients)]
    begun = time.perf_counter()
    for end in ends:
        await loop.create_connection(
            lambda end=end: Client(waiting, times, end),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
    await asyncio.gather(*ends)
    return time.perf_counter() - begun, sorted(times)


def main() -> None:
    """See the module."""
    port, clients, count = (int(word) for word in sys.argv[1:4])
    waiting = requests(count, sys.argv[4] if len(sys.argv) > 4 else "")
    seconds, times = asyncio.run(run(port, clients, waiting))
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    print(json.dumps({"seconds": seconds, "p50": p50, "p99": p99, "count": len(times)}))


if __name__ == "__main__":
    main()
