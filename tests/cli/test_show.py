"""The end of a run as text, from values."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bridge.cli import output
from bridge.cli.progress import Live, Silent
from bridge.cli.show import show
from bridge.cli.summary import Line, Summary
from bridge.dispatch import JobEvent, JobRecord
from bridge.events import Event, EventKind
from bridge.local.session import Result
from bridge.scheduler import Candidate, Decision, Offer, Reason
from bridge.targets import JobState


def line(number: int, state: JobState = JobState.SUCCEEDED, **more: Any) -> Line:
    event = Event(EventKind.MINIO, "minio.default", "data", f"in/{number}.txt")
    code = 0 if state is JobState.SUCCEEDED else 3
    job = JobRecord(f"job-{number}", "work", event, state, target="here", exit_code=code)
    moments = {"accepted": float(number), "started": number + 0.5, "ended": number + 2.0}
    given = {"outputs": (f"data/out/{number}.txt",), "moments": moments, **more}
    return Line(job, "oscar", f"data/in/{number}.txt", decision={}, **given)


def summary(*lines: Line, **more: Any) -> Summary:
    given: dict[str, Any] = {
        "engine": "process",
        "complete": True,
        "seconds": 12.5,
        "decisions": (),
        "results": (),
        "problems": (),
    }
    return Summary(lines=lines, **given | more)


def shown(capsys: pytest.CaptureFixture[str], made: Summary) -> str:
    show(made)
    return capsys.readouterr().out


def test_of_very_many_jobs_the_failed_ones_are_shown_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [line(n, JobState.FAILED if n == 199 else JobState.SUCCEEDED) for n in range(200)]
    said = shown(capsys, summary(*lines))
    rows = [row for row in said.splitlines() if row.startswith(" work     here ")]
    assert len(rows) == 40
    assert rows[0].split()[2:4] == ["failed", "3"]
    assert "… and 160 more jobs" in said
    assert said.count("█") >= 40
    assert "200 jobs in 12.5 s (process), 1 did not succeed" in said


def test_many_outputs_and_results_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    made = line(0, outputs=tuple(f"data/out/part-{n}" for n in range(9)))
    results = tuple(Result("work", "job-0", Path(f"/r/a b/{n}"), 2048) for n in range(60))
    said = shown(capsys, summary(made, results=results))
    assert "part-2" in said and "part-3" not in said and "… 6 more" in said
    assert "'/r/a b/39' (2.0 KiB)" in said and "/r/a b/40" not in said
    assert "… and 20 more" in said


def test_bars_show_waiting_and_running_in_proportion(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(capsys, summary(line(0), line(2)))
    first, second = (row for row in said.splitlines() if "█" in row)
    assert first.index("·") < first.index("█") < second.index("·") < second.index("█")
    assert first.count("█") == second.count("█") == 3 * first.count("·")
    assert "0 s" in said and "4.0 s" in said


def test_a_job_that_never_started(capsys: pytest.CaptureFixture[str]) -> None:
    lost = line(0, JobState.DEAD, moments={"accepted": 0.0}, outputs=())
    said = shown(capsys, summary(lost))
    assert " dead " in said and "did not succeed" in said


def test_no_jobs_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert "0 jobs in 12.5 s" in shown(capsys, summary())


def test_decisions_name_the_others_and_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    offers = (
        Offer("here", "oscar", True),
        Offer("slow", "kubernetes", True, start=90, cost=Decimal("0.5")),
        Offer("aws-lambda", "lambda", False, (Reason("gpu", "it has no GPU"),)),
    )
    candidates = tuple(Candidate(offer) for offer in offers)
    decision = Decision("work", "fastest", 0, "here", "here: it is the fastest", candidates)
    said = shown(capsys, summary(line(0), decisions=(decision,)))
    assert "work → here: it is the fastest" in said
    assert "not slow: about 90.0 s, 0.5 USD" in said
    assert "not aws-lambda: it has no GPU" in said
    assert "not here" not in said


def test_markup_in_names_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    made = line(0, JobState.FAILED, outputs=("data/[red]x",), log=("[bold]said", "[/]"))
    said = shown(capsys, summary(made, problems=("[link=x]problem",)))
    for text in ("[red]x", "[bold]said", "[/]", "[link=x]problem"):
        assert text in said


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.0123, "12 ms"), (1.25, "1.2 s"), (119.9, "119.9 s"), (600, "10.0 min")],
)
def test_durations(value: float | None, text: str) -> None:
    assert output.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**31, "2.0 GiB")]
)
def test_sizes(value: int, text: str) -> None:
    assert output.size(value) == text


def test_progress_on_a_pipe_is_a_line_per_step(capsys: pytest.CaptureFixture[str]) -> None:
    with Live() as watch:
        watch.phase("running")
        watch.fed(10)
        watch.job(JobEvent("job", "work", JobState.RUNNING, None, 0.0))
        watch.note("not [isolated]")
    assert capsys.readouterr().err.splitlines() == ["· running", "! not [isolated]"]
    assert watch.notes == ["not [isolated]"]


def test_silence_keeps_the_notes(capsys: pytest.CaptureFixture[str]) -> None:
    with Silent() as watch:
        watch.phase("running")
        watch.note("this")
    assert watch.notes == ["this"]
    assert capsys.readouterr() == ("", "")
