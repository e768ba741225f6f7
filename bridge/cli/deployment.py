"""The commands of deployment: plan, apply, destroy, drift, rollback, secrets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bridge.cli.aws_options import aws_choices, aws_lazily, aws_options, json_option

if TYPE_CHECKING:
    from bridge.targets.aws import Account

__all__ = ["register"]

Command = Callable[..., Any]

_PATH: Final = click.Path(path_type=Path)
_FDL: Final = click.argument("fdl", type=_PATH)
_FDL_OR_NAME: Final = click.argument("fdl", type=_PATH, required=False)
_YES: Final = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
_NAME: Final = click.option(
    "--name", default="", help="The deployment's name; default: the file's without its ending."
)


def _status(different: str = "") -> str:
    """The exit status, for the end of a command's help."""
    four = f"4 {different}, " if different else ""
    return (
        "Exit status: 0 success, 1 it failed or AWS refused it, 2 bad FDL or usage, 3 a missing "
        f"tool, {four}70 an error of ours, 130 interrupted."
    )


def _settings(command: Command) -> Command:
    """What stacks are made of."""
    options = (
        _NAME,
        click.option("--policy", default="", help="Place every service by this policy."),
        click.option(
            "--images",
            type=click.Choice(["push", "as-is"]),
            envvar="OSCAR_BRIDGE_IMAGES",
            help="push: make service images in ECR (default); as-is: take the file's names.",
        ),
        click.option(
            "--stacks",
            type=click.IntRange(1, 200),
            help="Over how many stacks the services are spread; one takes about 60.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command("plan", epilog=_status("there are changes (with --exit-code)"))
@_FDL
@_settings
@click.option("--offline", is_flag=True, help="Only placements: ask nobody.")
@click.option("--exit-code", is_flag=True, help="Exit with 4 when there are changes.")
@aws_choices
@json_option
def plan(fdl: Path, **options: Any) -> int:
    """Show where each service would run, why, and what a job would cost there; and what `apply`
    would change on AWS and on clusters, as far as they can be asked."""
    from bridge.cli import placement

    return placement.plan(fdl, **options)


@click.command("apply", epilog=_status())
@_FDL
@_settings
@_YES
@aws_choices
@json_option
def apply(fdl: Path, **options: Any) -> int:
    """Deploy a file to AWS and to OSCAR clusters: show the changes, ask, and make them.

    What was interrupted goes on when it is applied again.
    """
    from bridge.cli import deploying

    return deploying.apply(fdl, **options)


@click.command("destroy", epilog=_status())
@_FDL_OR_NAME
@_NAME
@click.option("--all", "everything", is_flag=True, help="The base too, when nothing else needs it.")
@_YES
@aws_lazily
@json_option
def destroy(fdl: Path | None, account: Callable[[], Account], **options: Any) -> int:
    """Delete a deployment. Buckets and tables with data stay."""
    from bridge.cli import deploying

    return deploying.destroy(fdl, account, **options)


@click.command("drift", epilog=_status("something has drifted"))
@_FDL_OR_NAME
@_NAME
@aws_lazily
@json_option
def drift(fdl: Path | None, account: Callable[[], Account], **options: Any) -> int:
    """Show what was changed past `apply`: by hand, or by another program.

    Services of clusters are compared with the file.
    """
    from bridge.cli import deploying

    return deploying.drift(fdl, account, **options)


@click.command("rollback", epilog=_status())
@_FDL_OR_NAME
@_NAME
@click.option("--to", type=click.IntRange(1), help="Entry of the history; default: the last other.")
@click.option("--list", "listing", is_flag=True, help="Only show the history.")
@_YES
@aws_options
@json_option
def rollback(fdl: Path | None, account: Account, **options: Any) -> int:
    """Deploy again what was deployed before. Secrets and data stay as they are."""
    from bridge.cli import deploying

    return deploying.rollback(fdl, account, **options)


@click.command("secrets", epilog=_status())
@_FDL
@_NAME
@aws_options
@json_option
def secrets(fdl: Path, account: Account, **options: Any) -> int:
    """Write the secrets of a file's services to AWS; for users of `cdk deploy`.

    `apply` does it by itself.
    """
    from bridge.cli import deploying

    return deploying.secrets(fdl, account, **options)


def register(app: click.Group) -> None:
    """Add these commands to the program."""
    for command in (plan, apply, destroy, drift, rollback, secrets):
        app.add_command(command)
