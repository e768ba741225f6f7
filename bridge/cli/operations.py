"""`config`, `backup` and `restore`: for those who run a manager of their own."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from bridge.cli.aws_options import json_option

__all__ = ["register"]

Command = Callable[..., Any]

_PATH: Final = click.Path(path_type=Path, dir_okay=False)
_FOLDER: Final = click.Path(path_type=Path, file_okay=False)


@click.group("config")
def config() -> None:
    """The settings of a manager (`python -m manager`)."""


@config.command("show")
@click.option("--origin", is_flag=True, help="Where each came from: default, file, environment.")
@click.option("--file", type=_PATH, help="Its file; default: BRIDGE_CONFIG, else that of /etc.")
@json_option
def show(file: Path | None, *, origin: bool, as_json: bool) -> None:
    """Print every setting that a manager would have here, without secrets."""
    from bridge.cli.output import console, print_json, table
    from manager.configuration import origins

    found = origins(os.environ, file=file)
    if as_json:
        plain = {one.name: {"value": one.value, "origin": one.origin} for one in found}
        shown = plain if origin else {name: {"value": one["value"]} for name, one in plain.items()}
        print_json(shown)
        return
    columns = ("setting", "value", "origin") if origin else ("setting", "value")
    rows = [(one.name, one.value, one.origin)[: len(columns)] for one in found]
    console().print(table(columns, rows, folding=("value",)))


def _state(command: Command) -> Command:
    """Add --state; the command gets the manager's folder as `state`."""

    @click.option("--state", type=_FOLDER, help="That of `up --keep`; default: BRIDGE_STATE's.")
    @functools.wraps(command)
    def with_state(*args: Any, state: Path | None, **options: Any) -> Any:
        from manager.configuration import DEFAULTS, configuration

        said = {**DEFAULTS, **configuration(os.environ)}
        return command(*args, state=state or Path(said["BRIDGE_STATE"]), **options)

    return with_state


@click.command("backup")
@click.argument("file", type=_PATH)
@_state
def backup(file: Path, state: Path) -> None:
    """Write a manager's services and jobs to FILE, while it runs.

    Its secrets are sealed, and the key, state.key or BRIDGE_STATE_KEY, is not in it: keep that
    elsewhere. Objects are not in it either: they are the object store's to keep.
    """
    from bridge.cli.output import size
    from manager.backup import backup as save

    click.echo(f"{file} ({size(save(state, file))})", err=True)


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_state
def restore(file: Path, state: Path) -> None:
    """Put what `backup` wrote into a folder that has no state yet.

    Jobs that were under way then are asked for or run again when the manager starts.
    """
    import datetime

    from manager.backup import restore as put_back

    at = datetime.datetime.fromtimestamp(put_back(file, state), tz=datetime.UTC)
    click.echo(f"{state}: the state of {at:%Y-%m-%d %H:%M:%SZ}", err=True)


def register(app: click.Group) -> None:
    """Add these commands to the program."""
    for command in (config, backup, restore):
        app.add_command(command)
