"""Where emulators differ from AWS: `differences.toml`, and the table of it in the documentation.

`python -m tests.contract.differences` writes the table anew.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("differences.toml")
PAGE = Path(__file__).parents[2] / "docs" / "emulators.md"
BEGIN = "<!-- begin of the table of tests/contract/differences.toml -->"
END = "<!-- end of the table -->"


@dataclass(frozen=True, slots=True)
class Row:
    """One difference. Tests that name it are not run on `missing`, and must fail on `differs`.

    `unchecked` says why no test names it; without, one must.
    """

    id: str
    area: str
    aws: str
    ours: str
    moto: str
    missing: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    unchecked: str = ""

    def says(self, kind: str) -> str:
        return self.moto if kind == "moto" else self.ours


@cache
def rows() -> dict[str, Row]:
    found: dict[str, Row] = {}
    for entry in tomllib.loads(FILE.read_text("utf-8"))["row"]:
        lists = {key: tuple(entry.pop(key, ())) for key in ("missing", "differs")}
        one = Row(**entry, **lists)
        assert one.id not in found, one.id
        found[one.id] = one
    return found


def row(number: str) -> Row:
    return rows()[number]


def table() -> str:
    lines = ["| | AWS | ours | moto |", "|---|---|---|---|"]
    for one in rows().values():
        lines.append(f"| {one.area} | {one.aws} | {one.ours} | {one.moto} |")
    return "\n".join(lines)


def page() -> tuple[str, str, str]:
    """The documentation before, in and after the table."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    inside, _, after = rest.partition(END)
    return before, inside.strip(), after


def main() -> None:
    before, _, after = page()
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
