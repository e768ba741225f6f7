"""The report where Kubernetes keeps few bytes of it, and events that come in parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.supervisor import load_event, parse_report
from bridge.supervisor.report import Report, write_report


def outputs(count: int) -> tuple[dict[str, object], ...]:
    return tuple(
        {"provider": "minio.default", "bucket": "b", "key": f"out/{n}"} for n in range(count)
    )


def test_a_short_report_is_whole() -> None:
    report = Report(job="j", outputs=outputs(3))
    assert report.line(3072) == report.line()


@pytest.mark.parametrize("reason", ["short", "é" * 9000, '"\\' * 9000])
@pytest.mark.parametrize("count", [0, 80, 5000])
def test_a_long_report_keeps_what_matters(count: int, reason: str) -> None:
    key = "ñ" * 500
    report = Report(
        job="j", state="failed", reason=reason, input={"key": key}, outputs=outputs(count)
    )
    line = report.line(3072)
    assert len(line) <= 3072
    found = json.loads(line)
    assert parse_report(found)._replace(outputs=(), input={}, reason="") == report._replace(
        outputs=(), input={}, reason=""
    )
    assert found["reason"][:5] == reason[:5]
    kept = found["outputs"]
    assert tuple(kept) == outputs(len(kept))
    assert len(kept) + found.get("outputs_left_out", 0) == count


def test_as_many_outputs_are_kept_as_there_is_room_for() -> None:
    report = Report(job="j", outputs=outputs(200))
    one = len(json.dumps(report.outputs[-1])) + 2
    assert 3072 - 2 * one < len(report.line(3072)) <= 3072


def test_last_words_are_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "termination-log"
    place.write_text("x" * 9000)
    before = place.stat().st_ino
    monkeypatch.setattr("bridge.supervisor.report._LAST_WORDS", str(place))
    write_report(Report(job="j", outputs=outputs(5000)), str(place), None, "")  # type: ignore[arg-type]
    assert place.stat().st_ino == before
    # Kubernetes gives 12 KiB to all containers of a pod: ours are two, a mesh's two more.
    assert place.stat().st_size <= 3072
    assert json.loads(place.read_text())["job"] == "j"


def test_an_event_in_parts_is_put_together(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    for number in range(12):
        (tmp_path / f"{number:03}").write_text(f"{number},")
    body = load_event({"BRIDGE_EVENT_FILE": str(tmp_path)}, None, "")  # type: ignore[arg-type]
    assert body == b"0,1,2,3,4,5,6,7,8,9,10,11,"
