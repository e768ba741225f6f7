"""HTTP to the API server, over the connections of the official client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final
from urllib.parse import urlencode

from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError, SSLError

from bridge.errors import AccessError, BridgeError, TargetUnavailable
from bridge.targets.kubernetes._access import Access
from bridge.targets.kubernetes._errors import Call, error_of

__all__ = ["Stream", "Transport"]

_CONNECT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 30.0
_SUCCESS: Final = range(200, 300)
_CHUNK: Final = 1 << 16
# All that is asked here may be asked twice: what is made has its name from the start.
# A server that asks for patience is left to the caller, who has other work meanwhile.
_RETRIES: Final = Retry(
    2, redirect=0, backoff_factor=0.1, allowed_methods=None, respect_retry_after_header=False
)


class Transport:
    """Sends calls and gives the bodies of their answers; errors are those of `error_of`."""

    def __init__(self, access: Access) -> None:
        from kubernetes.client.rest import RESTClientObject

        self._access = access
        self._pool: PoolManager = RESTClientObject(access.client).pool_manager

    def ask(
        self,
        call: Call,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
    ) -> bytes:
        """One call and its whole answer."""
        headers = {"Content-Type": content} if body is not None else {}
        with self._told(call):
            answer = self._pool.request(
                method,
                self._url(path, query),
                body=None if body is None else json.dumps(body),
                headers=headers | self._headers(),
                timeout=Timeout(connect=_CONNECT_SECONDS, read=_ANSWER_SECONDS),
                retries=_RETRIES,
            )
            if answer.status not in _SUCCESS:
                raise _refused(call, answer, answer.data)
            return bytes(answer.data)

    def open(
        self, call: Call, path: str, query: Mapping[str, str], silence: float | None
    ) -> Stream:
        """A call whose answer comes bit by bit; cut when nothing came for `silence` seconds."""
        with self._told(call):
            answer = self._pool.request(
                "GET",
                self._url(path, query),
                headers=self._headers(),
                timeout=Timeout(connect=_CONNECT_SECONDS, read=silence),
                retries=False,
                preload_content=False,
            )
            if answer.status not in _SUCCESS:
                body = answer.read()
                answer.release_conn()
                raise _refused(call, answer, body)
        return Stream(answer, self._told, call)

    def close(self) -> None:
        """Close the connections that are idle."""
        self._pool.clear()

    def _url(self, path: str, query: Mapping[str, str] | None) -> str:
        given = {name: value for name, value in (query or {}).items() if value}
        return f"{self._access.host}{path}" + (f"?{urlencode(given)}" if given else "")

    def _headers(self) -> dict[str, str]:
        return {"Accept": "application/json, */*", "User-Agent": "oscar-bridge"} | (
            self._access.headers()
        )

    @contextmanager
    def _told(self, call: Call) -> Iterator[None]:
        """Network errors as ours."""
        try:
            yield
        except (HTTPError, OSError) as error:
            cause = getattr(error, "reason", None) or error
            if isinstance(cause, SSLError) and "certificate" in str(cause).lower():
                raise AccessError(
                    f"cannot {call}: no trusted connection to {self._access.host}"
                    f" ({_short(cause)})",
                    hint="check certificate-authority and the client certificate in the kubeconfig",
                ) from error
            raise TargetUnavailable(
                f"cannot {call}: {self._access.host} does not answer ({_short(cause)})"
            ) from error


class Stream:
    """Lines of an answer, as they come. Close it, from any thread, to end it early.

    TargetUnavailable when the connection is cut; the last line may then be missing.
    """

    def __init__(
        self, answer: Any, told: Callable[[Call], AbstractContextManager[None]], call: Call
    ) -> None:
        self._answer = answer
        self._told = told
        self._call = call
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        try:
            with self._told(self._call):
                for chunk in self._answer.stream(_CHUNK):
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from lines
        except BridgeError:
            if not self._closed:
                raise
            return
        finally:
            self._answer.close()
        if rest:
            yield rest

    def close(self) -> None:
        """End it; whoever reads it sees the end of the lines."""
        self._closed = True
        # It may have ended already, or be closed by its reader at this moment.
        with suppress(OSError, RuntimeError, ValueError):
            self._answer.shutdown()


def _refused(call: Call, answer: Any, body: bytes) -> BridgeError:
    return error_of(call, answer.status, body, answer.headers.get("Retry-After", ""))


def _short(error: object) -> str:
    text = str(error)
    return text.partition(": ")[2] or text
