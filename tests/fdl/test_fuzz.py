"""Whatever the text, the answer is a document or problems with places; never another error."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import FdlError
from bridge.fdl import parse
from tests.fdl.texts import valid_files

TEXTS = [file.read_bytes().decode() for file in valid_files()]
WORDS = [
    "null",
    "true",
    "-1",
    "1e9",
    "{}",
    "[[]]",
    "lambda:",
    "oscar:",
    "?",
    "|",
    "[",
    "]",
    "{",
    "}",
    ":",
    "&",
    "*",
    "!",
    "'",
    '"',
    "~",
    ",",
    "@",
    "%",
]
SPECIAL = ["", " ", "\n", "\t", "- ", "&a ", "*a", "<<: ", "!x ", "---\n", "\x00", "\x85", "\u2028"]
PIECES = st.sampled_from([*WORDS, *SPECIAL]) | st.text(max_size=4)


def check(text: str) -> None:
    try:
        parse(text)
    except FdlError as error:
        assert error.problems
        for problem in error.problems:
            assert 1 <= problem.line <= len(text) + 2
            assert problem.column >= 1
            assert problem.message


@given(st.text())
def test_any_text(text: str) -> None:
    check(text)


@settings(max_examples=400)
@given(
    st.sampled_from(TEXTS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), PIECES), min_size=1, max_size=4),
)
def test_files_with_pieces_changed(text: str, changes: list[tuple[float, int, str]]) -> None:
    for where, length, piece in changes:
        start = int(where * len(text))
        text = text[:start] + piece + text[start + length :]
    check(text)
