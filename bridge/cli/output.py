"""How commands print: tables and colour for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["console", "money", "print_json", "seconds", "size", "table"]

_PIPE_WIDTH = 160
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def console(*, stderr: bool = False) -> Console:
    """A rich console; it honours NO_COLOR and plain pipes by itself."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = _PIPE_WIDTH
    return made


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    folding: Sequence[str] = (),
    shortened: Sequence[str] = (),
) -> Table:
    """A simple table; cells are text, never markup.

    Where the terminal is too narrow, `folding` columns are folded and `shortened` ones end in `…`.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(
        title=title or None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        made.add_column(
            column,
            overflow="ellipsis" if column in shortened else "fold",
            no_wrap=column not in folding,
            min_width=None if column in (*folding, *shortened) else len(column),
        )
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def seconds(value: float | None) -> str:
    """A duration for a person; empty when unknown."""
    if value is None:
        return ""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def money(value: Decimal) -> str:
    """USD with enough digits to compare small sums."""
    return "0" if value == 0 else f"{value:.7f}".rstrip("0") if value < 1 else f"{value:.2f}"


def size(value: float | None) -> str:
    """Bytes for a person; empty when unknown."""
    if value is None:
        return ""
    number, unit = float(value), _UNITS[0]
    for unit in _UNITS:
        if number < 1024 or unit == _UNITS[-1]:
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
