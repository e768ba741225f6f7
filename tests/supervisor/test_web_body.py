"""Large bodies are read as small ones are: the same bytes reach the script."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.events import decode, payload
from bridge.supervisor.web._body import Received, unpacked
from bridge.supervisor.web._request import Refused, parse_head


def as_file(folder: Path, content: bytes) -> bytes:
    """What a script would find of a body that came through a file."""
    path = folder / os.urandom(8).hex()
    path.write_bytes(content)
    received = unpacked(Received(b"", str(path)))
    if received.path:
        found = path.read_bytes()
        path.unlink()
    else:
        (event,) = decode(received.content)
        found = payload(event)
    assert list(folder.iterdir()) == []
    return found


def in_memory(content: bytes) -> bytes:
    """The same of a body that was small."""
    (event,) = decode(content)
    return payload(event)


LARGE = os.urandom(200_000)
TEXT = base64.b64encode(LARGE)
WRAPPED = base64.encodebytes(LARGE)


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        TEXT + b"\n",
        WRAPPED,
        WRAPPED.replace(b"\n", b"\r\n"),
        WRAPPED.replace(b"\n", b"\n\n"),
        WRAPPED[:77_000] + b"\n" + WRAPPED[77_000:],
        TEXT[:-1],
        TEXT + TEXT,
        base64.b64encode(LARGE + b"12") + b"AAAA",
        TEXT[:100_000] + b"-" + TEXT[100_000:],
        LARGE,
        b'{"a": "' + TEXT + b'"}',
        b"",
    ],
    ids=[
        "line", "line-end", "wrapped", "crlf", "empty-lines", "uneven", "cut", "twice",
        "after-padding", "wrong-letter", "binary", "json", "empty",
    ],
)  # fmt: skip
def test_a_file_gives_what_memory_gives(tmp_path: Path, content: bytes) -> None:
    assert as_file(tmp_path, content) == in_memory(content)


@given(st.binary(max_size=200), st.integers(1, 80), st.sampled_from([b"\n", b"\r\n"]))
def test_any_wrapping(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, width: int, line_end: bytes
) -> None:
    text = base64.b64encode(data)
    lines = [text[start : start + width] for start in range(0, len(text), width)]
    content = line_end.join(lines)
    if content.isdigit():
        return  # a number: JSON
    folder = tmp_path_factory.getbasetemp() / "wrapping"
    folder.mkdir(exist_ok=True)
    assert as_file(folder, content) == in_memory(content)


def test_a_head() -> None:
    head = parse_head(b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a:2 \r\nContent-Length: 5")
    assert (head.method, head.path, head.query, head.length) == ("POST", "/a", "b=c", 5)
    assert head.headers["x-a"] == "1, 2"
    assert head.lasts
    assert not parse_head(b"POST / HTTP/1.0").lasts
    assert not parse_head(b"POST / HTTP/1.1\r\nConnection: Close").lasts
    with pytest.raises(Refused):
        parse_head(b"POST / HTTP/1.1\r\nA: b\nContent-Length: 5")
