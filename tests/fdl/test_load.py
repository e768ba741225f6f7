from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge.errors import FdlError, Problem
from bridge.fdl import load, parse
from tests.fdl.texts import EXAMPLES, oscar


def wrong(path: Path) -> Problem:
    with pytest.raises(FdlError) as caught:
        load(path)
    (found,) = caught.value.problems
    return found


def write(folder: Path, text: str = "", script: str | None = "echo hello\r\necho bye\n") -> Path:
    if script is not None:
        (folder / "run.sh").write_text(script, newline="")
    file = folder / "f.yaml"
    file.write_text(text or oscar())
    return file


def test_a_script_is_relative_to_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    file = write(tmp_path)
    monkeypatch.chdir(tmp_path / "elsewhere")
    service = load(Path("../f.yaml")).services[0]
    assert (service.script, service.script_text) == ("run.sh", "echo hello\necho bye\n")
    assert load(file).file == str(file)


def test_an_absolute_script_is_taken_as_it_is(tmp_path: Path) -> None:
    script = tmp_path / "deep" / "run.sh"
    script.parent.mkdir()
    script.write_text("true\n")
    file = write(tmp_path, oscar().replace("run.sh", str(script)), script=None)
    assert load(file).services[0].script_text == "true\n"


@pytest.mark.parametrize("make", ["nothing", "folder", "pipe", "locked", "binary"])
def test_scripts_that_cannot_be_read(tmp_path: Path, make: str) -> None:
    file = write(tmp_path, script=None)
    script = tmp_path / "run.sh"
    if make == "folder":
        script.mkdir()
    elif make == "pipe":
        os.mkfifo(script)
    elif make == "binary":
        script.write_bytes(b"\xff\xfe\x00")
    elif make == "locked":
        script.touch(mode=0o000)
        if os.access(script, os.R_OK):
            pytest.skip("this user reads everything")
    found = wrong(file)
    assert (found.line, found.column) == (6, 15)
    assert found.path == "functions.oscar[0].lab.script"
    assert found.message.startswith("the script 'run.sh' cannot be read: ")


def test_one_script_that_two_services_miss_is_two_problems(tmp_path: Path) -> None:
    text = oscar() + "\n".join(oscar().replace("svc", "other").splitlines()[2:])
    with pytest.raises(FdlError) as caught:
        load(write(tmp_path, text, script=None))
    assert [p.line for p in caught.value.problems] == [6, 11]


def test_a_script_that_is_too_big(tmp_path: Path) -> None:
    assert "oscar.script" in wrong(write(tmp_path, script="#" * 2**20 + "x")).message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    found = wrong(tmp_path / "none.yaml")
    assert (found.file, found.line, found.column) == (str(tmp_path / "none.yaml"), 1, 1)
    assert "No such file" in found.message


def test_files_that_are_no_text(tmp_path: Path) -> None:
    assert "directory" in wrong(tmp_path).message.lower()
    binary = tmp_path / "f.yaml"
    binary.write_bytes(b"functions: \xff")
    assert "not UTF-8" in wrong(binary).message
    os.mkfifo(tmp_path / "pipe")
    assert "regular" in wrong(tmp_path / "pipe").message


def test_scripts_are_not_read_without_a_reader() -> None:
    assert parse(oscar()).services[0].script_text is None


def test_a_reader_that_fails_is_a_problem() -> None:
    def read(path: str) -> str:
        raise PermissionError(13, "Permission denied", path)

    with pytest.raises(FdlError, match="Permission denied"):
        parse(oscar(), read_script=read)


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*/*.yaml")), ids=lambda p: p.stem)
def test_our_examples_have_their_scripts(file: Path) -> None:
    assert all(service.script_text for service in load(file).services)
