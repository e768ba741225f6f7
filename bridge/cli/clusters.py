"""`cluster create|machines|destroy`: clusters on a cloud's machines, made by the Infrastructure
Manager (IM). What the group has of oscar-cli is in `bridge.cli.profiles`."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bridge.cli.aws_options import json_option
from bridge.errors import NotFoundError, PermanentError, TargetUnavailable, UsageError

if TYPE_CHECKING:
    from bridge.operate.infrastructure import Infrastructure, Manager

__all__ = ["cluster"]

Command = Callable[..., Any]

_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)
_SECRET: Final = re.compile(r"password|secret|token|kubeconfig|key", re.IGNORECASE)
_INTERVAL: Final = 10.0  # seconds between looks at a cluster that is being made
_HIDDEN: Final = "hidden (--show-secrets)"


@click.group()
def cluster() -> None:
    """The OSCAR clusters that you use, in oscar-cli's words and in its file; and new ones.

    create, machines and destroy make, watch and remove clusters on a cloud's machines, through an
    Infrastructure Manager (IM). IM needs to know you and your cloud: lines as
    `type = InfrastructureManager; token = …` and `id = site; type = OpenStack; …`, in the file of
    --auth, or in the variable IM_AUTH itself.
    """


def _im_options(command: Command) -> Command:
    """Add --im and --auth."""
    options = (
        click.option("--im", "url", envvar="IM_URL", required=True, help="URL of IM's REST API."),
        click.option("--auth", type=_FILE, help="File with IM's authorization lines."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@cluster.command("create")
@_im_options
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="An input; @FILE reads.")
@click.option("--template", type=_FILE, help="TOSCA of your own; default: deploy/im.")
@click.option("--wait", "-w", is_flag=True, help="Wait until it is installed: half an hour.")
@json_option
def create(  # noqa: PLR0917  (as click calls it)
    url: str,
    auth: Path | None,
    given: tuple[str, ...],
    template: Path | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Make a Kubernetes cluster with MinIO and the manager, and print its id."""
    from bridge.operate import infrastructure

    manager = _manager(url, auth)
    text = _text(template) if template else infrastructure.our_template()
    made = manager.create(infrastructure.filled(text, dict(map(_pair, given))))
    click.echo(f"infrastructure {made} is being made", err=True)
    found = _settled(manager, made) if wait else manager.show(made)
    _show(found, {}, as_json=as_json)
    if wait and found.state in infrastructure.FAILED:
        raise PermanentError(
            f"infrastructure {made} is {found.state}",
            hint=f"oscar-bridge cluster machines {made} --log; it costs money until destroyed",
        )


@cluster.command("machines")
@click.argument("infrastructure", default="")
@_im_options
@click.option("--show-secrets", is_flag=True, help="Passwords and tokens as they are.")
@click.option("--log", is_flag=True, help="What was said while it was installed.")
@json_option
def machines(
    infrastructure: str,
    url: str,
    auth: Path | None,
    *,
    show_secrets: bool,
    log: bool,
    as_json: bool,
) -> None:
    """Show how a cluster's machines stand and where it answers; without an id, all of yours."""
    manager = _manager(url, auth)
    if log and infrastructure:
        click.echo(manager.log(infrastructure))
        return
    if not infrastructure:
        _show_all(manager, as_json=as_json)
        return
    outputs = manager.outputs(infrastructure)
    if not show_secrets:
        outputs = {key: _HIDDEN if _SECRET.search(key) else outputs[key] for key in outputs}
    _show(manager.show(infrastructure), outputs, as_json=as_json)


@cluster.command("destroy")
@click.argument("infrastructure")
@_im_options
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Forget it even when the cloud does not let go.")
def destroy(infrastructure: str, url: str, auth: Path | None, *, yes: bool, force: bool) -> None:
    """Remove a cluster, its machines and their disks: all that was stored there is lost."""
    manager = _manager(url, auth)
    found = manager.show(infrastructure)
    if not yes:
        count = len(found.machines)
        click.confirm(f"Destroy {infrastructure} with {count} machines and their data?", abort=True)
    manager.destroy(infrastructure, force=force)
    click.echo(f"infrastructure {infrastructure} is being destroyed", err=True)


def _manager(url: str, auth: Path | None) -> Manager:
    import os

    from bridge.operate import infrastructure

    lines = _text(auth) if auth else os.environ.get("IM_AUTH", "")
    return infrastructure.Manager(url, infrastructure.login_of(lines))


def _pair(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals or not name:
        raise UsageError(f"--set {given.partition('=')[0]!r}: it must be NAME=VALUE")
    if value.startswith("@"):
        value = _text(Path(value[1:])).rstrip("\n")
    return name, value


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"cannot read {file}: it is not text") from None


def _settled(manager: Manager, made: str) -> Infrastructure:
    from bridge.operate import infrastructure

    said = ""
    while True:
        try:
            found = manager.show(made)
        except TargetUnavailable as error:  # IM may come back: its work goes on
            click.echo(f"  {error.message}", err=True)
        else:
            if found.state != said:
                said = found.state
                click.echo(f"  {said}", err=True)
            if said in infrastructure.DONE:
                return found
        time.sleep(_INTERVAL)


def _show_all(manager: Manager, *, as_json: bool) -> None:
    from bridge.cli.output import console, print_json, table

    found = []
    for one in manager.ids():
        with contextlib.suppress(NotFoundError):  # gone since
            found.append(manager.show(one))
    if as_json:
        print_json([{"id": one.id, "state": one.state, **_machines(one)} for one in found])
        return
    rows = [(one.id, one.state, str(len(one.machines))) for one in found]
    console().print(table(("infrastructure", "state", "machines"), rows))


def _show(found: Infrastructure, outputs: dict[str, Any], *, as_json: bool) -> None:
    from bridge.cli.output import console, print_json, table

    if as_json:
        more = {"outputs": outputs} if outputs else {}
        print_json({"id": found.id, "state": found.state, **_machines(found), **more})
        return
    out = console()
    out.print(f"{found.id}: {found.state}", markup=False)
    rows = [(f"machine {number}", state) for number, state in sorted(found.machines.items())]
    rows += [(name, str(value)) for name, value in outputs.items()]
    out.print(table(("what", "value"), rows, folding=("value",)))


def _machines(found: Infrastructure) -> dict[str, Any]:
    return {"machines": dict(found.machines)}
