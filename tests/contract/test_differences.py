"""The list of differences is in use, and the documentation shows it as it is."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.contract.conftest import KINDS
from tests.contract.differences import page, rows, table

FOLDER = Path(__file__).parent


def named() -> set[str]:
    """The rows that tests name."""
    found: set[str] = set()
    for file in FOLDER.glob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.contract":
                found |= {ast.literal_eval(one) for one in node.args}
    return found


def test_every_row_is_checked_by_a_test_or_says_why_not() -> None:
    checked = named()
    assert checked <= set(rows())
    for one in rows().values():
        assert (one.id in checked) != bool(one.unchecked), one.id


def test_rows_know_the_endpoints() -> None:
    for one in rows().values():
        assert {*one.missing, *one.differs} <= {*KINDS, "given"}
        assert not set(one.missing) & set(one.differs)
        assert all("|" not in text for text in (one.area, one.aws, one.ours, one.moto))


def test_the_documentation_has_the_table() -> None:
    _, inside, _ = page()
    assert inside == table(), "run: python -m tests.contract.differences"
