"""Asking several sides one question: answers of those that answer, reasons of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import click

from bridge.errors import BridgeError

if TYPE_CHECKING:
    from bridge.operate.sides import Side

__all__ = ["asked", "status_of"]

Answer = TypeVar("Answer")
_FAILED: Final = 1


def asked(
    sides: Sequence[Side], question: Callable[[Side], Answer]
) -> tuple[list[tuple[Side, Answer]], bool]:
    """The answers in order, and whether one is missing; standard error has its reason.

    The error of a lone side is raised: nobody else has anything to say.
    """
    found: list[tuple[Side, Answer]] = []
    for side in sides:
        try:
            found.append((side, question(side)))
        except BridgeError as error:
            if len(sides) == 1:
                raise
            click.echo(f"{side.name}: {error.message}", err=True)
    return found, len(found) < len(sides)


def status_of(failed: bool) -> int:
    """The exit status of a command that asked them."""
    return _FAILED if failed else 0
