"""The options by which commands find the account, the deployment in it, and the clusters."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bridge.targets.aws import Account

__all__ = [
    "account_of",
    "aws_choices",
    "aws_lazily",
    "aws_options",
    "cluster_options",
    "json_option",
    "side_options",
    "sides_lazily",
]

Command = Callable[..., Any]


def aws_choices(command: Command) -> Command:
    """Add --profile, --region and --prefix, which `account_of` takes."""
    options = (
        click.option("--profile", default="", envvar="AWS_PROFILE", help="Profile of AWS's files."),
        click.option("--region", default="", help="AWS region; default: what AWS's files say."),
        click.option(
            "--prefix",
            default="oscar-bridge",
            envvar="OSCAR_BRIDGE_PREFIX",
            show_default=True,
            help="What the base stack is called.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def aws_options(command: Command) -> Command:
    """Add --profile, --region and --prefix; the command gets one keyword `account`.

    The account is made when the command runs, without a call to AWS.
    """

    @aws_choices
    @functools.wraps(command)
    def with_account(*args: Any, profile: str, region: str, prefix: str, **options: Any) -> Any:
        account = account_of(profile=profile, region=region, prefix=prefix)
        return command(*args, account=account, **options)

    return with_account


def aws_lazily(command: Command) -> Command:
    """Add --profile, --region and --prefix; the command gets what makes the account: `account`."""

    @aws_choices
    @functools.wraps(command)
    def with_maker(*args: Any, profile: str, region: str, prefix: str, **options: Any) -> Any:
        make = functools.partial(account_of, profile=profile, region=region, prefix=prefix)
        return command(*args, account=make, **options)

    return with_maker


def cluster_options(command: Command) -> Command:
    """Add --cluster and --manager, which `chosen_cluster` takes."""
    manager = "URL of an OSCAR manager: only that one."
    options = (
        click.option("--cluster", "-c", default="", help="Only this cluster; default: all known."),
        click.option("--manager", default="", metavar="URL", help=manager),
    )
    for option in reversed(options):
        command = option(command)
    return command


def side_options(command: Command) -> Command:
    """Add --cluster, --manager and AWS's options; the command gets the keyword `sides`: where
    services are."""

    @sides_lazily
    @functools.wraps(command)
    def with_sides(*args: Any, sides: Callable[[], Any], **options: Any) -> Any:
        return command(*args, sides=sides(), **options)

    return with_sides


def sides_lazily(command: Command) -> Command:
    """The same; the command gets what finds them: `sides`."""

    @cluster_options
    @aws_choices
    @functools.wraps(command)
    def with_finder(
        *args: Any,
        cluster: str,
        manager: str,
        profile: str,
        region: str,
        prefix: str,
        **options: Any,
    ) -> Any:
        def sides() -> Any:
            from bridge.operate.sides import sides_known

            return sides_known(
                profile=profile, region=region, prefix=prefix, cluster=cluster, manager=manager
            )

        return command(*args, sides=sides, **options)

    return with_finder


def json_option(command: Command) -> Command:
    """Add --json, which the command gets as `as_json`."""
    text = "Print JSON instead of text."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def account_of(*, profile: str = "", region: str = "", prefix: str = "oscar-bridge") -> Account:
    """The account that profile, region and the environment name.

    Region: the argument, AWS_REGION, AWS_DEFAULT_REGION, the profile's. UsageError without any,
    AccessError for a profile that is not there, MissingToolError without boto3.
    """
    from bridge.operate.session import account_for

    return account_for(profile=profile, region=region, prefix=prefix)
