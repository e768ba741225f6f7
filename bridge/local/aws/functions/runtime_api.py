"""The Lambda Runtime API (2018-06-01) as functions see it, one address per environment.

All environments share one thread with an event loop; what they say comes out of a mailbox.
"""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar

from bridge.local.aws.functions._http import (
    HEAD_LIMIT,
    BadRequest,
    Request,
    read_request,
    response,
)
from bridge.local.aws.functions.model import Invocation
from bridge.local.executors import Exit

_VERSION: Final = "/2018-06-01/runtime"
_ERROR_TYPE: Final = "lambda-runtime-function-error-type"
_OK: Final = b'{"status":"OK"}\n'
_DRAIN_SECONDS: Final = 30.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ready:
    """The runtime asks for its next event."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The function's answer; `error` says that it is one. `too_large`: it was dropped."""

    request_id: str
    body: bytes
    error: bool = False
    too_large: bool = False


@dataclass(frozen=True, slots=True)
class InitError:
    """The runtime could not start the function; `body` is what it said."""

    body: bytes
    kind: str


Message = Ready | Answer | InitError | Exit


class RuntimeApi:
    """The thread that serves every environment of one endpoint."""

    def __init__(self, host: str, response_limit: int) -> None:
        self.host = host
        self.response_limit = response_limit
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="bridge-runtime-api", daemon=True)
        self._thread.start()

    def open(self) -> Channel:
        """A new address with its mailbox."""
        listener = socket.create_server((self.host, 0))
        channel = Channel(self, listener.getsockname()[1])
        self.call(channel.serve(listener))
        return channel

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the loop and wait for it; never from the loop itself."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        """Stop the thread; the channels are of no use afterwards."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())


class Channel:
    """The Runtime API of one environment.

    `mailbox` gets a message for everything that the runtime says; the owner of the environment
    puts its Exit there too.
    """

    def __init__(self, api: RuntimeApi, port: int) -> None:
        self._api = api
        self.address = f"{api.host}:{port}"
        self.mailbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._next: asyncio.Queue[bytes] = asyncio.Queue()
        self._current = ""

    def send(self, invocation: Invocation, deadline: float) -> None:
        """Give the runtime its next event; `deadline` in seconds since the epoch."""
        self._current = invocation.request_id
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
            "Lambda-Runtime-Trace-Id": invocation.trace or trace_id(invocation.request_id),
        }
        body = response(HTTPStatus.OK, invocation.payload, headers)
        self._api.loop.call_soon_threadsafe(self._next.put_nowait, body)

    def close(self) -> None:
        """Close the address and every connection."""
        if not self._api.loop.is_closed():
            self._api.call(self._close())

    async def serve(self, listener: socket.socket) -> None:
        """Start to listen; called on the loop."""
        self._server = await asyncio.start_server(self._talk, sock=listener, limit=HEAD_LIMIT)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while request := await read_request(reader, writer, self._api.response_limit):
                answer = await self._answer(request, reader)
                if answer is None:
                    return
                writer.write(answer)
                await asyncio.wait_for(writer.drain(), _DRAIN_SECONDS)
        except (BadRequest, OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            return  # the runtime went away or talks nonsense: its invocation will time out
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, request: Request, reader: asyncio.StreamReader) -> bytes | None:
        path = request.path.removeprefix(_VERSION)
        if request.method == "GET" and path == "/invocation/next":
            self.mailbox.put(Ready())
            return await self._take(reader)
        if request.method == "POST" and path == "/init/error":
            self.mailbox.put(InitError(request.body, request.headers.get(_ERROR_TYPE, "")))
            return response(HTTPStatus.ACCEPTED, _OK)
        if request.method == "POST" and path.startswith("/invocation/"):
            return self._end_of(request, path.split("/"))
        return _refusal(HTTPStatus.NOT_FOUND, "NotFound", f"no {request.method} {request.path}")

    async def _take(self, reader: asyncio.StreamReader) -> bytes | None:
        """The next event, unless the one who waits hangs up first."""
        event = asyncio.ensure_future(self._next.get())
        hung_up = asyncio.ensure_future(reader.read(1))
        await asyncio.wait({event, hung_up}, return_when=asyncio.FIRST_COMPLETED)
        if event.done():
            hung_up.cancel()
            return event.result()
        event.cancel()
        return None

    def _end_of(self, request: Request, words: list[str]) -> bytes:
        if len(words) != 4 or words[3] not in {"response", "error"}:
            return _refusal(HTTPStatus.NOT_FOUND, "NotFound", f"no {request.path}")
        if words[2] != self._current:
            return _refusal(HTTPStatus.BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
        self._current = ""
        failed = words[3] == "error"
        self.mailbox.put(Answer(words[2], request.body, failed, request.cut))
        if request.cut:
            text = "Exceeded maximum allowed payload size"
            return _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestEntityTooLarge", text)
        return response(HTTPStatus.ACCEPTED, _OK)


def trace_id(request_id: str) -> str:
    """A tracing header that is not sampled."""
    digits = request_id.replace("-", "")
    return f"Root=1-{int(time.time()):08x}-{digits[:24]};Parent={digits[:16]};Sampled=0"


def _refusal(status: HTTPStatus, kind: str, message: str) -> bytes:
    return response(status, json.dumps({"errorType": kind, "errorMessage": message}).encode())
