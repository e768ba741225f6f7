"""`service` and `bucket`: an OSCAR cluster in the words of its own command, oscar-cli.

What this program has under another name stands here under OSCAR's too, and is the same command.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import click

from bridge.cli.aws_options import cluster_options, json_option
from bridge.cli.deployment import apply
from bridge.cli.operate import invoke, logs, ls, submit

if TYPE_CHECKING:
    from bridge.targets.oscar import OscarClient

__all__ = ["on_cluster", "register"]

Command = Callable[..., Any]

_NAME: Final = click.argument("name")
_YES: Final = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
_WEEK: Final = 7 * 24 * 3600


def on_cluster(command: Command) -> Command:
    """Add --cluster and --manager; the command gets the keyword `client`."""

    @cluster_options
    @functools.wraps(command)
    def with_client(*args: Any, cluster: str, manager: str, **options: Any) -> Any:
        with closing(_client(cluster, manager)) as client:
            return command(*args, client=client, **options)

    return with_client


def _client(cluster: str, manager: str) -> OscarClient:
    from bridge.errors import UsageError
    from bridge.targets.oscar import OscarClient
    from bridge.targets.oscar.access import chosen_cluster, default_cluster, known_clusters

    chosen = chosen_cluster(cluster, manager)
    known = known_clusters() if chosen is None else (chosen,)
    if (one := known[0] if len(known) == 1 else default_cluster(known)) is not None:
        return OscarClient(one)
    if not known:
        hint = "oscar-bridge cluster add, or set OSCAR_ENDPOINT, or give --manager URL"
        raise UsageError("no OSCAR cluster is known", hint=hint)
    names = ", ".join(one.id for one in known)
    hint = "--cluster names one of them, cluster default --set one for all commands"
    raise UsageError(f"several clusters are known: {names}", hint=hint)


@click.group("service")
def service() -> None:
    """Services on OSCAR clusters, in oscar-cli's words.

    list, run, job, logs and apply are the commands ls, invoke, submit, logs and apply.
    """


@service.command("get")
@_NAME
@click.option("--show-secrets", is_flag=True, help="Its token and credentials as they are.")
@click.option(
    "--estimates",
    is_flag=True,
    help="How long its runs take by target, how sure that is and how well it was foretold.",
)
@on_cluster
@json_option
def get_service(
    name: str, client: OscarClient, *, show_secrets: bool, estimates: bool, as_json: bool
) -> None:
    """Print a service's definition as its cluster has it, in FDL's words.

    With --estimates what a manager of OSCAR Bridge has learned from its runs instead.
    """
    import yaml

    from bridge.cli.output import print_json
    from bridge.errors import NotFoundError

    found = client.service(name)
    if found is None:
        hint = "oscar-bridge service list"
        raise NotFoundError(f"there is no service {name!r} on cluster {client.id}", hint=hint)
    if estimates:
        _show_estimates(client.estimates(name), as_json=as_json)
        return
    document = dict(found.document) if show_secrets else _covered(found.document)
    if as_json:
        print_json(document)
    else:
        click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)


def _show_estimates(found: Mapping[str, Any], *, as_json: bool) -> None:
    from bridge.cli.output import console, print_json, seconds, table

    if as_json:
        print_json(found)
        return
    columns = (
        "target",
        "runs",
        "median",
        "95 %",
        "confidence",
        "error",
        "start",
        "transfer",
        "drifts",
    )
    rows = [
        (
            str(one["target"]),
            str(one["samples"]),
            seconds(one["run"]),
            seconds(one["late"]),
            f"{one['confidence']:.2f}",
            *(_share(one.get(name)) for name in ("error", "start_error", "transfer_error")),
            f"{one['drifts']} (now)" if one["drifting"] else str(one["drifts"]),
        )
        for one in found.get("runs", ())
    ]
    console().print(table(columns, rows))


def _share(error: float | None) -> str:
    return "" if error is None else f"{error * 100:.0f} %"


def _covered(value: Any, name: str = "") -> Any:
    """A value of a service without the secrets in it."""
    from bridge.secret import HIDDEN

    if isinstance(value, Mapping):
        hide = name in ("secrets", "headers")
        return {k: HIDDEN if hide and one else _covered(one, str(k)) for k, one in value.items()}
    if isinstance(value, list):
        return [_covered(one, name) for one in value]
    return HIDDEN if value and _is_secret(name) else value


def _is_secret(name: str) -> bool:
    words = ("token", "password", "secret", "access_key", "credential")
    return any(word in name.lower() for word in words)


@service.command("delete")
@_NAME
@_YES
@on_cluster
def delete_service(name: str, client: OscarClient, *, yes: bool) -> None:
    """Delete a service, whoever deployed it. OSCAR's own manager deletes its buckets with it.

    `destroy` removes what a file has deployed.
    """
    from bridge.errors import NotFoundError

    if client.service(name) is None:
        raise NotFoundError(f"there is no service {name!r} on cluster {client.id}")
    if not yes:
        click.confirm(f"Delete the service {name} on cluster {client.id}?", abort=True)
    client.delete(name)
    click.echo(f"service {name} is deleted", err=True)


@service.command("rotate-token")
@_NAME
@click.option("--show-secrets", is_flag=True, help="Print the new token.")
@on_cluster
def rotate_token(name: str, client: OscarClient, *, show_secrets: bool) -> None:
    """Give a service a new token; the old one opens nothing any more.

    What you gave the old one to needs the new one. OSCAR's own manager cannot do this.
    """
    from bridge.errors import NotFoundError

    try:
        token = client.rotate_token(name)
    except NotFoundError as error:
        raise NotFoundError(
            f"there is no service {name!r} on cluster {client.id}, or its manager is OSCAR's own",
            hint="oscar-bridge service list",
        ) from error
    if show_secrets:
        click.echo(token.reveal())
    else:
        click.echo(f"service {name} has a new token (--show-secrets prints it)", err=True)


@click.group("bucket")
def bucket() -> None:
    """Buckets of an OSCAR cluster. `put` and `get` move files: minio://BUCKET/FOLDER."""


@bucket.command("list")
@on_cluster
@json_option
def list_buckets(client: OscarClient, *, as_json: bool) -> None:
    """List the buckets that you may look into."""
    from bridge.cli.output import console, print_json, table

    found = client.buckets()
    if as_json:
        print_json(found)
        return
    columns = ("bucket", "visibility", "owner", "users")
    console().print(table(columns, [_bucket_row(one) for one in found], folding=("users",)))


def _bucket_row(one: Mapping[str, Any]) -> tuple[str, ...]:
    users = one.get("allowed_users") or ()
    said = (str(one.get(key) or "") for key in ("bucket_name", "visibility", "owner"))
    return (*said, ", ".join(map(str, users)))


@bucket.command("get")
@_NAME
@on_cluster
@json_option
def get_bucket(name: str, client: OscarClient, *, as_json: bool) -> None:
    """Show who may look into a bucket, and the first objects in it."""
    from bridge.cli.output import console, print_json, size, table

    found = client.bucket(name)
    if as_json:
        print_json(found)
        return
    out = console()
    out.print(table(("bucket", "visibility", "owner", "users"), [_bucket_row(found)]))
    rows = [
        (
            str(one.get("object_name", "")),
            size(one.get("size_bytes")),
            str(one.get("last_modified", "")),
        )
        for one in found.get("objects") or ()
    ]
    more = ", the first" if found.get("is_truncated") else ""
    columns = ("object", "size", "modified")
    out.print(table(columns, rows, title=f"{len(rows)} objects{more}", folding=("object",)))


@bucket.command("create")
@_NAME
@click.option(
    "--visibility",
    type=click.Choice(["private", "restricted", "public"]),
    default="private",
    show_default=True,
    help="For you, for some users, for all users of the cluster.",
)
@click.option("--user", "users", multiple=True, help="Who may look into a restricted one.")
@on_cluster
def create_bucket(
    name: str, client: OscarClient, *, visibility: str, users: tuple[str, ...]
) -> None:
    """Make a bucket."""
    client.create_bucket(name, visibility, users)
    click.echo(f"bucket {name} is made", err=True)


@bucket.command("delete")
@_NAME
@_YES
@on_cluster
def delete_bucket(name: str, client: OscarClient, *, yes: bool) -> None:
    """Remove a bucket with everything in it."""
    if not yes:
        where = f"cluster {client.id}"
        click.confirm(f"Remove the bucket {name} on {where} with all its objects?", abort=True)
    client.delete_bucket(name)
    click.echo(f"bucket {name} is removed", err=True)


@bucket.command("presign")
@_NAME
@click.argument("key")
@click.option("--upload", is_flag=True, help="To write the object (PUT); default: to read it.")
@click.option(
    "--expires",
    type=click.IntRange(1, _WEEK),
    default=900,
    show_default=True,
    help="Seconds that it works.",
)
@on_cluster
@json_option
def presign(
    name: str, key: str, client: OscarClient, *, upload: bool, expires: int, as_json: bool
) -> None:
    """Print a URL that reads or writes one object without credentials."""
    from bridge.cli.output import print_json

    found = client.presign(name, key, "upload" if upload else "download", expires)
    if as_json:
        print_json(found)
    else:
        click.echo(found.get("url", ""))


def register(app: click.Group) -> None:
    """Add these commands to the program."""
    same = {"list": ls, "run": invoke, "job": submit, "logs": logs, "apply": apply}
    for name, command in same.items():
        service.add_command(command, name)
    app.add_command(service)
    app.add_command(bucket)
