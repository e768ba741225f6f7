"""`import-scar`: from SCAR's files and functions to FDL of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.aws_options import account_of
from bridge.cli.output import print_json
from bridge.errors import PermanentError

if TYPE_CHECKING:
    from bridge.operate.scar import Imported

__all__ = ["run"]

_BAD = 2


def run(source: str, *, output: Path | None, reveal: bool, as_json: bool, **where: str) -> int:
    """Print or write the FDL; the status is 2 when `validate` would still refuse it.

    `where` is what `account_of` takes; AWS is asked only about a function.
    """
    made = _imported(source, output, reveal=reveal, where=where)
    if output is not None:
        _write(output, made.text)
    if as_json:
        print_json(
            {
                "fdl": made.text,
                "notes": list(made.notes),
                "blank_secrets": list(made.blank),
                "problems": [asdict(problem) for problem in made.problems],
            }
        )
    else:
        _print(made, output)
    return _BAD if made.problems else 0


def _imported(
    source: str, output: Path | None, *, reveal: bool, where: Mapping[str, str]
) -> Imported:
    from bridge.operate import scar

    folder = output.resolve().parent if output is not None else None
    if folder is not None and not folder.is_dir():
        raise PermanentError(f"cannot write {output}: {folder} is not a folder")
    path = Path(source)
    if path.is_file() or path.suffix in (".yaml", ".yml") or "/" in source:
        moved = folder if folder is not None and folder != path.resolve().parent else None
        return scar.from_file(path, folder=moved, reveal=reveal)
    return scar.from_function(account_of(**where), source, folder=folder, reveal=reveal)


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PermanentError(f"cannot write {output}: {error.strerror}") from error


def _print(made: Imported, output: Path | None) -> None:
    if output is None:
        click.echo(made.text, nl=False)
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    if made.blank:
        click.echo("left blank, being secrets:", err=True)
    for path in made.blank:
        click.echo(f"  {path}", err=True)
    for problem in made.problems:
        click.echo(str(problem), err=True)
