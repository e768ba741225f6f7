"""Names for staged files: readable, and never a way out of the folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.events import Event, EventKind, decode, file_name


def named(key: str) -> str:
    return file_name(Event(EventKind.S3, provider="s3.default", bucket="b", key=key))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("in/a.txt", "a.txt"),
        ("a b ñ 日本.txt", "a b ñ 日本.txt"),
        ("in/..", "__"),
        ("in/.", "_"),
        ("in/...", "..."),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("in/..\\..\\x", ".._.._x"),
        ("in/a\0b\n.txt", "a_b_.txt"),
        ("in/folder/", "folder"),
        (".hidden", ".hidden"),
        ("-rf", "-rf"),
    ],
)
def test_names(key: str, name: str) -> None:
    assert named(key) == name


def test_data_is_named_by_its_identity() -> None:
    (event,) = decode(b"data")
    assert file_name(event) == f"event-file-{event.identity}"
    assert named("///").startswith("event-file-")


def test_long_names_are_cut_but_stay_apart_and_keep_their_extension() -> None:
    first, second = named("n" * 300 + "1.tar"), named("n" * 300 + "2.tar")
    assert first != second
    assert first.endswith(".tar") and len(first.encode()) <= 200
    assert len(named("日" * 300).encode()) <= 200
    assert len(named("n." + "e" * 300).encode()) <= 200


@given(st.text(min_size=1))
def test_no_name_leaves_its_folder(key: str) -> None:
    name = named(key)
    assert name not in {"", ".", ".."} and "/" not in name and "\0" not in name
    assert len(name.encode()) <= 255
    assert (Path("/work-folder") / name).parent == Path("/work-folder")


def test_the_longest_name_can_really_be_written(tmp_path: Path) -> None:
    path = tmp_path / (named("ñ" * 500 + ".txt") + ".0123456789abcdef.part")
    path.write_text("x")
    assert path.read_text() == "x"
