"""YAML itself: what is tolerated, what is refused, and where it is said to be."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from bridge.fdl import parse
from tests.fdl.texts import only, oscar, problem, problems


def test_line_ends_tabs_and_byte_order_mark_do_not_matter() -> None:
    text = oscar("log_level: CRITICAL")
    odd = "\ufeff" + text.replace("CRITICAL", "CRITICAL\t").replace("\n", " \t\r\n")
    assert parse(odd) == parse(text)


def test_a_tab_inside_a_value_stays() -> None:
    service = only(oscar("environment: {variables: {A: 'x\ty'}}"))
    assert service.variables == {"A": "x\ty"}


def test_blanks_at_the_end_of_a_block_of_text_stay() -> None:
    service = only(oscar("environment:\n  variables:\n    A: |\n      one  \n      two\n"))
    assert service.variables == {"A": "one  \ntwo\n"}


def test_places_count_from_one_in_a_file_with_odd_line_ends() -> None:
    text = "\ufeff" + oscar("cpu: much").replace("\n", "\r\n")
    found = problem(text)
    assert (found.line, found.column) == (7, 12)


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n"])
def test_an_empty_file(text: str) -> None:
    found = problem(text)
    assert "empty" in found.message or "must be" in found.message or "missing" in found.message


def test_syntax_errors_have_a_place_and_a_hint() -> None:
    found = problem("functions:\n  oscar:\n  - lab:\n\tname: x\n")
    assert (found.line, found.column) == (4, 1)
    assert found.message.startswith("not valid YAML")
    assert "spaces" in found.hint


def test_what_the_parser_expects_is_shown() -> None:
    assert "',' or ']'" in problem("functions: [1").message


@pytest.mark.parametrize(
    "value", ["*TOP-SECRET", "!TOP-SECRET", "!TOP!SECRET x", "@TOP-SECRET", "%TOP-SECRET"]
)
@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_a_secret_that_is_not_quoted_is_not_shown(
    value: str, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if loader == "SafeLoader":
        monkeypatch.delattr(yaml, "CSafeLoader")
    found = problems(oscar(rest=f"clusters:\n  c:\n    auth_password: {value}\n"))
    assert any(p.line == 10 for p in found)
    assert not any("SECRET" in str(p) for p in found)


def test_the_parser_in_python_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = oscar("cpu: '1.0'\nenvironment: {Variables: {A: yes, B: 1.50, C: ~}}")
    fast = parse(text)
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert parse(text) == fast


def test_keys_that_stand_twice() -> None:
    found = problem(oscar("cpu: 1\ncpu: 2"))
    assert (found.line, found.path) == (8, "functions.oscar[0].lab.cpu")
    assert "line 7" in found.hint


def test_keys_that_differ_in_case_only() -> None:
    found = problem(oscar("cpu: 1\nCPU: 2"))
    assert "same key" in found.message


def test_keys_that_are_not_text() -> None:
    assert "a key must be text" in problem(oscar("? [a]\n: 1")).message


def test_several_documents() -> None:
    found = problem(oscar() + "---\n" + oscar())
    assert "more than one document" in found.message
    assert found.line == 8


def test_forbidden_characters_have_a_place() -> None:
    found = problem("a: 1\nb: x\x01y\n")
    assert (found.line, found.column) == (2, 5)


def test_half_characters_are_refused() -> None:
    assert "not allowed" in problem("a: \ud800").message


def test_merge_keys_fill_in_what_is_not_there() -> None:
    text = (
        "x-base: &base {name: other, image: busybox, script: run.sh}\n"
        "functions:\n  oscar:\n  - lab: {<<: *base, name: svc}\n"
    )
    assert only(text) == only(oscar())


def test_a_list_of_merges_takes_the_first() -> None:
    rest = "{<<: [*a, *b], name: svc, image: busybox, script: run.sh}"
    text = (
        "x-a: &a {cpu: 1}\nx-b: &b {cpu: 2, memory: 1Gi}\n"
        f"functions:\n  oscar:\n  - lab: {rest}\n"
    )
    service = only(text)
    assert (service.resources.cpu, service.resources.memory) == (1, 2**30)


def test_only_maps_are_merged() -> None:
    assert any("merged" in p.message for p in problems(oscar("<<: 5")))


def test_an_alias_inside_its_own_anchor() -> None:
    assert "own anchor" in problem("functions: &a\n  oscar: *a\n").message


def test_aliases_that_multiply_are_stopped() -> None:
    lines = ["x-a: &a [x, x, x, x, x, x, x, x, x]"]
    for this, last in zip("bcdefghi", "abcdefgh", strict=True):
        lines.append(f"x-{this}: &{this} [{', '.join([f'*{last}'] * 9)}]")
    assert "multiply" in problem("\n".join(lines) + "\n" + oscar()).message


def test_a_bomb_of_merges_is_stopped() -> None:
    lines = ["x-a: &a {k: v}"]
    for n in range(40):
        this, last = f"m{n}", "a" if n == 0 else f"m{n - 1}"
        lines.append(f"x-{this}: &{this} {{<<: [*{last}, *{last}]}}")
    lines.append(oscar("<<: *m39"))
    assert "multiply" in problem("\n".join(lines)).message


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_a_file_nested_very_deep_is_a_problem_not_a_crash(opening: str) -> None:
    # In a process of its own: the C parser's own recursion ends it with a signal.
    code = (
        "from bridge.errors import FdlError\nfrom bridge.fdl import parse\n"
        f"try: parse({opening!r} * 50_000)\n"
        "except FdlError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "deep" in done.stdout


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!thing", "!!binary", "!!set"])
def test_tags_mean_nothing(tag: str) -> None:
    assert any("tag" in p.message for p in problems(oscar(f"vo: {tag} x")))


def test_the_usual_tags_are_taken() -> None:
    assert only(oscar("cpu: !!str 2\nalpine: !!bool true")).resources.cpu == 2
