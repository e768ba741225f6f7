"""A tiny run of the comparison from end to end: what it says comes from what it has run."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.placement.contestants import EVERYBODY
from benchmarks.placement.run import DOCS, main
from benchmarks.placement.study import Row, verdicts

PAGE = "placement-evaluation.md"


def test_a_tiny_run_prints_verdicts_and_fills_page_and_plots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / PAGE
    shutil.copy(DOCS / PAGE, page)
    size = ["--calls", "30", "--seeds", "1", "--jobs", "4", "--steps", "2"]
    main([*size, "--docs", str(tmp_path)])
    said, text = capsys.readouterr().out, page.read_text()
    for one in EVERYBODY:
        assert one.name in text
    lines = [line for line in said.splitlines() if line.startswith(("| small cases", "| fastest"))]
    assert lines and all(line in text for line in lines)
    assert "30 calls a trace, mean of 1 seeds" in text
    for plot in ("traces", "small", "amiss"):
        root = ET.parse(tmp_path / f"placement-{plot}.svg").getroot()
        assert root.tag.endswith("svg") and len(root.findall(".//{*}text")) > 20


def made_up(who: str, cost: float, p95: float, missed: float = 0.0, lost: float = 0.0) -> Row:
    ours = who in ("balanced", "cheapest", "fastest", "deadline")
    return Row(who, ours, lost, 1.0, 1.0, p95, p95, 1.0, missed, cost, 0.0, 1.0)


ROWS = [
    made_up("balanced", 1.0, 100.0),
    made_up("cheapest", 0.5, 300.0, missed=0.2),
    made_up("fastest", 4.0, 50.0),
    made_up("deadline", 0.8, 150.0),
    made_up("oscar topsis", 4.0, 100.0),
    made_up("oscar as it is", 1.0, 225.0, missed=0.1),
    made_up("scar lambda-batch", 9.0, 100.0),
    made_up("drops much", 0.1, 10.0, lost=0.5),
]


def changed(who: str, **values: float) -> dict[str, list[Row]]:
    other = [replace(row, **values) if row.who == who else row for row in ROWS]  # type: ignore[arg-type]
    return {"one": ROWS, "other": other}


def test_verdicts_follow_the_figures() -> None:
    fair = verdicts({"one": ROWS})
    assert [verdict.holds for verdict in fair] == [True] * 11
    factors = [verdict.why for verdict in fair[8:]]
    assert [why.split(" on average")[0] for why in factors] == [
        "better by x2.00",
        "better by x1.50",
        "better by x3.00",
    ]


@pytest.mark.parametrize(
    ("who", "values", "broken", "said"),
    [
        ("fastest", {"p95": 110.0}, [0, 6], "other: 110 s to 100 of oscar topsis"),
        ("fastest", {"lost": 0.01}, [0], "other: loses 1.0% of the jobs"),
        ("cheapest", {"cost": 1.1}, [5], "other: beaten by oscar as it is"),
        ("deadline", {"missed": 0.05}, [1], "misses 5.0% to 0.0% of"),
        ("oscar topsis", {"cost": 0.7}, [2, 3, 4, 7, 8], "0.8 USD to 0.7 of oscar topsis"),
        ("balanced", {"p95": 240.0}, [3, 9], "15.5 to 15 of oscar as it is"),
    ],
)
def test_where_we_lose_is_said(
    who: str, values: dict[str, float], broken: list[int], said: str
) -> None:
    found = verdicts(changed(who, **values))
    assert [place for place, verdict in enumerate(found) if not verdict.holds] == broken
    assert any(said in found[place].why for place in broken)
