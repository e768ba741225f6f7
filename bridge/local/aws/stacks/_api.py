"""The services of the endpoint, asked by what a stack makes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

Json = dict[str, Any]
Answer = tuple[int, Mapping[str, str], bytes]
Query = dict[str, list[str]]
Question = tuple[str, str, dict[str, str], bytes, Query]
"""Method, path, headers, body and query."""

Ask = Callable[[str, Question], Answer]
"""Asks a service and waits for the answer."""

_XML_ERROR: Final = re.compile(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", re.DOTALL)


class Api:
    """Requests whose refusals are ValueErrors, which fail a resource with their text."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def rest(
        self,
        service: str,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: Query | None = None,
        absent: bool = False,
    ) -> Json:
        """A REST service that speaks JSON; with `absent`, what is not there is no error."""
        headers = {"content-type": "application/json"}
        payload = b"" if body is None else json.dumps(body).encode()
        status, _, answer = self._ask(service, (method, path, headers, payload, query or {}))
        return {} if status == 404 and absent else _decoded(status, answer)

    def json(self, service: str, target: str, body: Json) -> Json:
        """A service that speaks JSON; `target` is its X-Amz-Target."""
        headers = {"x-amz-target": target, "content-type": "application/x-amz-json-1.0"}
        question = ("POST", "/", headers, json.dumps(body).encode(), Query())
        status, _, answer = self._ask(service, question)
        return _decoded(status, answer)

    def has_object(self, bucket: str, key: str) -> bool:
        """True when the object is there."""
        return self._ask("s3", ("HEAD", f"/{bucket}/{key}", {}, b"", {}))[0] < 300

    def bucket(self, method: str, bucket: str, setting: str = "", body: str = "") -> int:
        """A bucket, or one of its settings; the status, which is below 300 or 404."""
        query = {setting: [""]} if setting else {}
        status, _, answer = self._ask("s3", (method, f"/{bucket}", {}, body.encode(), query))
        if status < 300 or status == 404:
            return status
        found = _XML_ERROR.search(answer.decode(errors="replace"))
        text = f"{found[2]} ({found[1]})" if found else answer.decode(errors="replace")
        raise ValueError(text)


def _decoded(status: int, answer: bytes) -> Json:
    found: Json = json.loads(answer or b"{}")
    if status < 300:
        return found
    kind = str(found.get("__type") or found.get("code") or found.get("Code") or status)
    text = found.get("message") or found.get("Message") or answer.decode(errors="replace")
    raise ValueError(f"{text} ({kind.rpartition('#')[2]})")
