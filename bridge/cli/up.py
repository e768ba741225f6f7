"""`up`: the manager, the object store and the AWS endpoint of this machine, until Ctrl-C."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

__all__ = ["up"]


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65533),
    default=0,
    help="Of the AWS endpoint; the object store and the manager take the next two. "
    "Default: any free ones.",
)
@click.option("--engine", default="auto", show_default=True, help="auto, container or process.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder in which objects, services, jobs and logs stay.",
)
@click.option(
    "--cluster",
    is_flag=True,
    help="Services that come by OSCAR's API run on the cluster of KUBECONFIG.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def up(port: int, engine: str, keep: Path | None, *, cluster: bool, as_json: bool) -> int:
    """Start OSCAR's API, an object store and an AWS endpoint, print the variables, and stay.

    Standard output has one `export NAME=value` per line and nothing else, so that it can go to a
    file and be sourced. Ctrl-C stops everything; what is on the AWS endpoint is gone then.
    """
    from bridge.cli.interrupts import INTERRUPTED, as_keyboard_interrupt
    from bridge.local.standing import Standing, StandingSettings

    try:
        with (
            as_keyboard_interrupt(),
            Standing(StandingSettings(engine, port, keep, cluster)) as standing,
        ):
            _print(standing.variables(), as_json=as_json)
            _say(standing.engine)
            standing.wait()
    except KeyboardInterrupt:
        click.echo("oscar-bridge: everything that was started is stopped", err=True)
    return INTERRUPTED


def _print(variables: dict[str, str], *, as_json: bool) -> None:
    from bridge.cli.output import print_json

    if as_json:
        print_json(variables)
        return
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    if "AWS_PROFILE" in os.environ:
        # SDKs other than Python's would take the profile and not these keys.
        click.echo("unset AWS_PROFILE")


def _say(engine: str) -> None:
    if engine == "process":
        text = (
            "functions and jobs run as plain processes of this user: not isolated, "
            "and their images are not used"
        )
    else:
        text = "image functions and jobs run in containers, zip functions as plain processes"
    click.echo(f"oscar-bridge: {text}. Ctrl-C stops everything.", err=True)
