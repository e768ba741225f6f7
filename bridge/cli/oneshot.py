"""`run`: the whole pipeline once on this machine, with live progress and a summary at the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from bridge.cli.check import load_pipeline
from bridge.cli.interrupts import INTERRUPTED, as_keyboard_interrupt
from bridge.cli.output import print_json
from bridge.cli.progress import Live, Silent
from bridge.cli.summary import Summary, summary_of
from bridge.errors import UsageError
from bridge.local.session import Session

__all__ = ["run"]

_ENGINES = ("auto", "container", "process")


def run(
    path: Path,
    inputs: Sequence[Path],
    output: Path,
    *,
    engine: str,
    cluster: bool,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Run the pipeline of `path` on the inputs; the exit status.

    Everything that can be wrong with the file and the options is said before anything is started.
    """
    document, _ = load_pipeline(path)
    if engine not in _ENGINES:
        raise UsageError(f"--engine {engine}: there is no such engine", hint=", ".join(_ENGINES))
    _check_folder(output)
    try:
        with as_keyboard_interrupt(), Silent() if as_json else Live() as watch:
            session = Session(document, engine=engine, cluster=cluster, watch=watch)
            summary = _through(session, inputs, output, timeout)
    except KeyboardInterrupt:
        click.echo("oscar-bridge: interrupted; everything that was started is stopped", err=True)
        return INTERRUPTED
    if as_json:
        print_json({**summary.as_json(), "notes": watch.notes})
    else:
        from bridge.cli.show import show

        show(summary)
    return 0 if summary.ok else 1


def _through(
    session: Session, inputs: Sequence[Path], output: Path, timeout: float | None
) -> Summary:
    handovers = session.plan(inputs)
    with session:
        session.feed(handovers)
        complete = session.wait(timeout)
        results = session.fetch(output)
        return summary_of(session, results, complete=complete)


def _check_folder(folder: Path) -> None:
    """UsageError when the results could not be written there."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        raise UsageError(f"--output {folder}: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"--output {folder}: {there} cannot be written to")
