"""`cluster add|default|list|info|status|remove`: a user's OSCAR clusters, in oscar-cli's words.

They stand in oscar-cli's own file, so both programs know the same ones.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.aws_options import json_option
from bridge.cli.oscar import on_cluster
from bridge.errors import UsageError

if TYPE_CHECKING:
    from bridge.secret import Secret
    from bridge.targets.oscar import OscarClient

__all__ = ["register"]

_NAME = click.argument("identifier")


@click.command("add")
@_NAME
@click.argument("endpoint")
@click.argument("user", default="")
@click.argument("password", default="")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option(
    "--oidc-account-name", "-o", "account", default="", help="An account of oidc-agent, by name."
)
@click.option("--oidc-token", "-t", "token", default="", help="An OIDC refresh token.")
@click.option("--disable-ssl", is_flag=True, help="Do not check its certificate.")
def add(  # noqa: PLR0917  (as click calls it)
    identifier: str,
    endpoint: str,
    user: str,
    password: str,
    account: str,
    token: str,
    *,
    password_stdin: bool,
    disable_ssl: bool,
) -> None:
    """Put a cluster, and how you prove who you are, in oscar-cli's file; the first is the default.

    With USER alone the password is asked for. Give one of: USER, --oidc-account-name, --oidc-token.
    """
    from bridge.secret import Secret
    from bridge.targets.oscar.access import url_of
    from bridge.targets.oscar.profiles import Profiles

    if sum(map(bool, (user, account, token))) != 1:
        hint = "oscar-bridge cluster add --help"
        raise UsageError("name a user, an account of oidc-agent or a token: one of them", hint=hint)
    profiles = Profiles()
    profiles.add(
        identifier,
        url_of(identifier, endpoint),
        user=user,
        password=_password(password, stdin=password_stdin) if user else None,
        account=account,
        refresh_token=Secret(token) if token else None,
        ssl_verify=not disable_ssl,
    )
    click.echo(f"cluster {identifier} is in {profiles.path}", err=True)


def _password(given: str, *, stdin: bool) -> Secret:
    from bridge.secret import Secret

    if given and stdin:
        raise UsageError("the password is given twice", hint="leave --password-stdin out")
    if stdin:
        given = sys.stdin.read().strip("\r\n")
    return Secret(given or click.prompt("Password", hide_input=True, err=True))


@click.command("default")
@click.option("--set", "name", default="", metavar="IDENTIFIER", help="Make it the default one.")
def default(name: str) -> None:
    """Print or set the cluster that commands are for where they name none."""
    from bridge.targets.oscar.profiles import Profiles

    profiles = Profiles()
    if name:
        profiles.set_default(name)
        click.echo(f"cluster {name} is the default now", err=True)
    elif profiles.default:
        click.echo(profiles.default)
    else:
        click.echo("there is no default cluster (--set names one)", err=True)


@click.command("list")
@json_option
def listed(*, as_json: bool) -> None:
    """List the clusters that you use, where they are and how they are asked, without secrets.

    Where OSCAR_ENDPOINT is set, its cluster is the only one that commands are for.
    """
    from bridge.cli.output import console, print_json, table
    from bridge.targets.oscar.access import ENVIRONMENT, known_clusters
    from bridge.targets.oscar.profiles import Profiles

    own = [one for one in known_clusters() if one.source == ENVIRONMENT]
    known, chosen = [*own, *known_clusters(environ={})], Profiles().default
    if as_json:
        print_json([{**_plain(one), "default": one.id == chosen} for one in known])
        return
    columns = ("cluster", "endpoint", "asked as", "default", "known from")
    rows = [
        (one.id, one.endpoint, one.method, "yes" if one.id == chosen else "", one.source)
        for one in known
    ]
    console().print(table(columns, rows, folding=("endpoint", "known from")))


def _plain(one: Any) -> dict[str, Any]:
    return {
        "id": one.id,
        "endpoint": one.endpoint,
        "credentials": one.method,
        "ssl_verify": one.ssl_verify,
        "source": one.source,
    }


@click.command("info")
@on_cluster
@json_option
def info(client: OscarClient, *, as_json: bool) -> None:
    """Show the version of a cluster's manager, and what it runs on."""
    _show(client.info(), as_json=as_json)


@click.command("status")
@on_cluster
@json_option
def status(client: OscarClient, *, as_json: bool) -> None:
    """Show a cluster's nodes, what is free of them, and its manager's jobs and buckets."""
    _show(client.status(), as_json=as_json)


def _show(found: Any, *, as_json: bool) -> None:
    import yaml

    from bridge.cli.output import print_json

    if as_json:
        print_json(found)
    else:
        click.echo(yaml.safe_dump(dict(found), sort_keys=False, allow_unicode=True), nl=False)


@click.command("remove")
@_NAME
def remove(identifier: str) -> None:
    """Forget a cluster: it is taken out of oscar-cli's file, and itself stays as it is."""
    from bridge.targets.oscar.profiles import Profiles

    Profiles().remove(identifier)
    click.echo(f"cluster {identifier} is forgotten", err=True)


def register(group: click.Group) -> None:
    """Add these commands to `cluster`; oscar-cli has `delete` for `remove` too."""
    for command in (add, default, listed, info, status, remove):
        group.add_command(command)
    group.add_command(remove, "delete")
