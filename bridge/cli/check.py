"""`validate`, `graph` and `schema`: what can be said of an FDL file without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from bridge.cli.output import print_json
from bridge.errors import FdlError, Problem, UsageError

__all__ = ["graph", "load_pipeline", "schema", "validate"]


def load_pipeline(path: Path):  # type: ignore[no-untyped-def]
    """The document and its pipeline; FdlError with every problem of either."""
    from bridge.fdl import load
    from bridge.pipeline import build

    document = load(path)
    return document, build(document)


def _problems(path: Path) -> tuple[Problem, ...]:
    try:
        load_pipeline(path)
    except FdlError as error:
        return error.problems
    return ()


def validate(files: Sequence[Path], *, as_json: bool) -> int:
    """Print the problems of all files; the exit status."""
    found = {path: _problems(path) for path in files}
    problems = [problem for each in found.values() for problem in each]
    if as_json:
        print_json([asdict(problem) for problem in problems])
        return FdlError.exit_status if problems else 0
    for path, each in found.items():
        for problem in each:
            click.echo(str(problem), err=True)
        if not each:
            click.echo(f"{path}: valid")
    if problems:
        plural = "" if len(problems) == 1 else "s"
        click.echo(f"{len(problems)} problem{plural}", err=True)
    return FdlError.exit_status if problems else 0


def graph(path: Path, form: str) -> None:
    """Print the pipeline in the given format."""
    from bridge import pipeline

    if form not in ("mermaid", "dot", "json"):
        raise UsageError(f"--format {form}: there is no such format", hint="mermaid, dot or json")
    _, built = load_pipeline(path)
    if form == "json":
        print_json(pipeline.as_json(built))
    else:
        draw = pipeline.mermaid if form == "mermaid" else pipeline.dot
        click.echo(draw(built).rstrip("\n"))


def schema() -> None:
    """Print the JSON Schema of FDL."""
    from bridge.fdl import schema as fdl_schema

    print_json(fdl_schema())
