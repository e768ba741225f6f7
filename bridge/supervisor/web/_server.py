"""The process that listens: it reads heads, keeps the line, and forks a process for each call."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from bridge.supervisor.web._answer import head
from bridge.supervisor.web._call import GOES_ON
from bridge.supervisor.web._request import Head, Refused, parse_head

#: How many calls wait for their turn; more are refused.
LINE = 100
_LARGEST_HEAD = 32 << 10
_BLOCK = 1 << 16
_BACKLOG = 512
# Seconds: for a head to come, for a connection to be used again, for a client to take a refusal.
_HEAD_TIME, _IDLE_TIME, _LINGER_TIME = 30.0, 75.0, 2.0
_FULL_PAUSE = 0.05
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_RETRY = {"Retry_After": "1"}
_HANG_UP = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class _State(Enum):
    READING = "reading"
    WAITING = "waiting"
    RUNNING = "running"
    LINGERING = "lingering"


class _Client:
    """A connection. `since` is when it came into its state; `fresh` until its first request."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.state = _State.READING
        self.since = time.monotonic()
        self.seen = b""
        self.request: Head | None = None
        self.child = 0
        self.fresh = True

    @property
    def patience(self) -> float | None:
        """Seconds that it may stay in its state; None for as long as it takes."""
        if self.state is _State.READING:
            return _HEAD_TIME if self.seen or self.fresh else _IDLE_TIME
        return _LINGER_TIME if self.state is _State.LINGERING else None


#: Answers a call in the forked process; the status to end it with.
Call = Callable[[socket.socket, Head, bytes], int]


class Limits(NamedTuple):
    """How many calls run at once, and how many wait."""

    running: int = 1
    waiting: int = LINE


class Server:
    """Serves until SIGTERM or SIGINT, then finishes what runs and refuses the rest.

    A second signal ends what runs.
    """

    def __init__(self, listener: socket.socket, call: Call, limits: Limits) -> None:
        self._listener = listener
        self._call = call
        self._limits = limits
        self._clients: dict[int, _Client] = {}
        self._running: dict[int, _Client] = {}
        self._line: deque[_Client] = deque()
        self._signals = 0
        self._poll = select.epoll()
        self._wake, self._waker = socket.socketpair()

    def serve(self) -> int:
        """Until a signal comes and the last call is over; the exit status."""
        for end in (self._listener, self._wake, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        self._listener.listen(_BACKLOG)
        self._poll.register(self._listener, select.EPOLLIN)
        self._poll.register(self._wake, select.EPOLLIN)
        while not self._signals or self._running:
            for descriptor, events in self._poll.poll(self._patience()):
                self._handle(descriptor, events)
            self._let_go()
        for client in list(self._clients.values()):
            self._close(client)
        return 0

    def _on_signal(self, number: int, frame: object) -> None:
        if number != signal.SIGCHLD:
            self._signals += 1

    def _patience(self) -> float | None:
        ends = [c.since + c.patience for c in self._clients.values() if c.patience is not None]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _let_go(self) -> None:
        """Close the connections that have used up their time."""
        now = time.monotonic()
        for client in list(self._clients.values()):
            if client.patience is not None and client.since + client.patience <= now:
                self._close(client)

    def _handle(self, descriptor: int, events: int) -> None:
        if descriptor == self._wake.fileno():
            self._woken()
        elif descriptor == self._listener.fileno():
            self._accept()
        elif client := self._clients.get(descriptor):
            self._on_client(client, events)

    def _woken(self) -> None:
        """Signals have come: calls are over, or we are to end."""
        while _received(self._wake):
            continue
        if self._signals:
            self._drain()
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            if client := self._running.pop(pid, None):
                self._over(client, status)
        self._next()

    def _drain(self) -> None:
        while self._line:
            self._refuse(self._line.popleft(), _draining())
        for client in list(self._clients.values()):
            if client.state is _State.READING and not client.seen and not client.fresh:
                self._close(client)
        if self._signals > 1:
            for pid in self._running:
                os.kill(pid, signal.SIGTERM)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:
            # No descriptors are left: some come back as calls end.
            time.sleep(_FULL_PAUSE)
            return
        connection.setblocking(False)
        # An answer is more than one write: each must leave at once.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = _Client(connection)
        self._clients[connection.fileno()] = client
        self._poll.register(connection, select.EPOLLIN | select.EPOLLRDHUP)

    def _on_client(self, client: _Client, events: int) -> None:
        if client.state is _State.READING:
            self._read(client)
        elif client.state is _State.LINGERING:
            if not _received(client.connection, otherwise=b"x"):
                self._close(client)
        elif events & _HANG_UP:
            self._left(client)

    def _left(self, client: _Client) -> None:
        """The client has gone: nobody needs the call any more."""
        self._poll.unregister(client.connection)
        if client.state is _State.WAITING:
            self._line.remove(client)
            self._close(client)
        else:
            os.kill(client.child, signal.SIGTERM)

    def _read(self, client: _Client) -> None:
        block = _received(client.connection, otherwise=None)
        if block is None:
            return
        if not block:
            self._close(client)
            return
        if not client.seen:
            client.since = time.monotonic()
        client.seen += block
        self._begin(client)

    def _begin(self, client: _Client) -> None:
        """Take the request if its head is there."""
        client.seen = client.seen.lstrip(b"\r\n")
        end = client.seen.find(b"\r\n\r\n")
        try:
            if (end if end >= 0 else len(client.seen)) > _LARGEST_HEAD:
                raise Refused(431, "the request's headers are too large")
            if end < 0:
                return
            client.request = parse_head(client.seen[:end])
            client.seen = client.seen[end + 4 :]
            self._route(client, client.request)
        except Refused as error:
            self._refuse(client, error)

    def _route(self, client: _Client, request: Head) -> None:
        if request.path.startswith("/_/"):
            self._own(client, request)
        elif request.method != "POST":
            raise Refused(405, "a call of the service is a POST", Allow="POST")
        elif self._signals:
            raise _draining()
        elif len(self._line) >= self._limits.waiting:
            raise Refused(503, "too many calls are waiting", **_RETRY)
        else:
            self._line.append(client)
            self._turn(client, _State.WAITING, select.EPOLLRDHUP)
            self._next()

    def _own(self, client: _Client, request: Head) -> None:
        """What the probes ask."""
        if request.path not in ("/_/health", "/_/ready"):
            raise Refused(404, "there is only /_/health and /_/ready")
        if request.method not in ("GET", "HEAD"):
            raise Refused(405, "this is to be read", Allow="GET, HEAD")
        if request.path == "/_/ready" and self._signals:
            raise _draining()
        lasts = request.lasts and not client.seen and request.length == 0 and not self._signals
        body = b"" if request.method == "HEAD" else b"OK\n"
        sent = self._send(client, head(200, 3, lasts=lasts) + body)
        if sent and lasts:
            self._turn(client, _State.READING, select.EPOLLIN | select.EPOLLRDHUP)
        elif sent:
            self._linger(client)

    def _next(self) -> None:
        """Start the calls whose turn it is."""
        while self._line and len(self._running) < self._limits.running:
            client = self._line.popleft()
            try:
                self._start(client)
            except OSError as error:
                self._refuse(client, Refused(503, f"no process: {error.strerror}", **_RETRY))

    def _start(self, client: _Client) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            client.child = os.fork()
            if not client.child:
                self._in_child(client)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        client.seen = b""
        self._running[client.child] = client
        self._turn(client, _State.RUNNING, select.EPOLLRDHUP)

    def _in_child(self, client: _Client) -> None:
        status = 1
        try:
            for other in self._clients.values():
                if other is not client:
                    other.connection.close()
            for ours in (self._listener, self._wake, self._waker, self._poll):
                ours.close()
            assert client.request is not None
            status = self._call(client.connection, client.request, client.seen)
        finally:
            os._exit(status)

    def _over(self, client: _Client, status: int) -> None:
        """A call's process has ended."""
        if os.waitstatus_to_exitcode(status) == GOES_ON and not self._signals:
            self._turn(client, _State.READING, select.EPOLLIN | select.EPOLLRDHUP)
        else:
            self._linger(client)

    def _turn(self, client: _Client, state: _State, events: int) -> None:
        client.state = state
        client.fresh = False
        client.since = time.monotonic()
        try:
            self._poll.modify(client.connection, events)
        except FileNotFoundError:
            # The client has left while its call ran.
            self._close(client)

    def _refuse(self, client: _Client, error: Refused) -> None:
        body = f"{error.text}\n".encode("utf-8", "replace")
        if self._send(
            client, head(error.status, len(body), lasts=False, headers=error.headers) + body
        ):
            self._linger(client)

    def _send(self, client: _Client, answer: bytes) -> bool:
        """Send what fits into any socket's buffer; False when the client is gone."""
        try:
            client.connection.sendall(answer)
        except OSError:
            self._close(client)
            return False
        return True

    def _linger(self, client: _Client) -> None:
        """Close, once the client has had time to read: closing with bytes unread would reset."""
        try:
            client.connection.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(client)
            return
        self._turn(client, _State.LINGERING, select.EPOLLIN | select.EPOLLRDHUP)

    def _close(self, client: _Client) -> None:
        self._clients.pop(client.connection.fileno(), None)
        client.connection.close()


def _draining() -> Refused:
    return Refused(503, "this copy of the service is about to end", **_RETRY)


def _received(connection: socket.socket, otherwise: bytes | None = b"") -> bytes | None:
    """What has come; nothing when the other side is gone, `otherwise` when nothing has come yet."""
    try:
        return connection.recv(_BLOCK)
    except BlockingIOError:
        return otherwise
    except OSError:
        return b""
