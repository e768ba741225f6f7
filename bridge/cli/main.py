"""Entry point of `oscar-bridge`: the commands and their options; the work is in the other modules.

Only click is imported here (typer would bring pydantic, which costs more than a whole validation);
each command imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from bridge.cli.clusters import cluster
from bridge.cli.deployment import register as register_deployment
from bridge.cli.operate import register as register_day_two
from bridge.cli.operations import register as register_operations
from bridge.cli.oscar import register as register_oscar
from bridge.cli.profiles import register as register_profiles
from bridge.cli.up import up
from bridge.errors import BridgeError

__all__ = ["app", "main"]

_PROGRAM: Final = "oscar-bridge"
_COMPLETE: Final = "_OSCAR_BRIDGE_COMPLETE"
_INTERRUPTED: Final = 130
_DEFECT: Final = 70
_PATH: Final = click.Path(path_type=Path)

Command = Callable[..., Any]


def _fdl(command: Command) -> Command:
    return click.argument("fdl", type=_PATH)(command)


def _json(command: Command) -> Command:
    text = "Print JSON instead of text."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit status: 0 success, 1 a job failed or AWS refused, 2 bad FDL or usage, 3 a missing "
        "tool, 4 a difference was found (drift), 70 an error of ours, 130 interrupted."
    ),
    no_args_is_help=True,
)
def app() -> None:
    """Run FDL services of OSCAR and SCAR on clusters, AWS Lambda, AWS Batch or this machine."""


@app.command()
@click.argument("fdl", type=_PATH, nargs=-1, required=True)
@_json
def validate(fdl: tuple[Path, ...], as_json: bool) -> int:
    """Check FDL files: every problem with its place. Exit 0, or 2 when there are problems."""
    from bridge.cli import check

    return check.validate(fdl, as_json=as_json)


@app.command()
@_fdl
@click.option("--format", "form", default="mermaid", show_default=True, help="mermaid, dot, json.")
@_json
def graph(fdl: Path, form: str, as_json: bool) -> None:
    """Draw the pipeline that the services' shared paths make."""
    from bridge.cli import check

    check.graph(fdl, "json" if as_json else form)


@app.command()
@click.argument("fdl", type=_PATH, required=False)
@click.option(
    "--trace",
    default="synthetic",
    show_default=True,
    help="synthetic, or a CSV file of a data set.",
)
@click.option("--invocations", type=click.IntRange(1), help="How many (synthetic: 10000).")
@click.option("--policy", "policies", multiple=True, help="Each one is a run; may be repeated.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, another luck.")
@_json
def simulate(fdl: Path | None, **options: Any) -> None:
    """Say what policies would do to many invocations, on targets that are only simulated."""
    from bridge.cli import simulate as simulation

    simulation.simulate(fdl, **options)


@app.command()
@_fdl
@click.option(
    "--input",
    "-i",
    "inputs",
    type=_PATH,
    multiple=True,
    required=True,
    help="A file, or a folder of files, to feed in. May be given several times.",
)
@click.option(
    "--output",
    "-o",
    type=_PATH,
    default=Path("oscar-bridge-results"),
    show_default=True,
    help="Folder for what the last stages write.",
)
@click.option("--engine", default="auto", show_default=True, help="auto, container or process.")
@click.option(
    "--cluster",
    is_flag=True,
    help="Services for a cluster really go to one: by default that of KUBECONFIG.",
)
@click.option("--timeout", type=click.FloatRange(min=1), help="Give up after this many seconds.")
@_json
def run(
    fdl: Path,
    *,
    inputs: tuple[Path, ...],
    output: Path,
    engine: str,
    cluster: bool,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Run the whole pipeline once on this machine and fetch the results."""
    from bridge.cli import oneshot

    return oneshot.run(
        fdl, inputs, output, engine=engine, cluster=cluster, timeout=timeout, as_json=as_json
    )


app.add_command(up)
app.add_command(cluster)
register_profiles(cluster)
register_deployment(app)
register_day_two(app)
register_oscar(app)
register_operations(app)


@app.command()
@_json
def doctor(as_json: bool) -> None:
    """Say what this machine has, and what that makes possible."""
    from bridge.cli import doctor as examination

    examination.doctor(as_json=as_json)


@app.command()
def schema() -> None:
    """Print the JSON Schema of FDL, for editors."""
    from bridge.cli import check

    check.schema()


@app.command()
@_json
def version(as_json: bool) -> None:
    """Print the version."""
    from bridge import __version__

    click.echo(f'{{"version": "{__version__}"}}' if as_json else f"{_PROGRAM} {__version__}")


@app.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that makes a shell complete this command; source it in the shell's rc."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(app, {}, _PROGRAM, _COMPLETE).source())


@app.group()
def runtime() -> None:
    """The runtime that is laid beside a user's image."""


@runtime.command("build")
@click.option("--output", "-o", type=_PATH, help="Folder to make; default: the cache.")
@_json
def build_runtime(output: Path | None, as_json: bool) -> None:
    """Build the relocatable folder that runs as /opt/bridge in any Linux image."""
    from bridge.cli import bundle

    bundle.build(output, as_json=as_json)


@runtime.command("image")
@click.option("--name", default="", help="Its name; default: oscar-bridge/runtime:<digest>.")
@click.option("--push", is_flag=True, help="Have it in the registry of its name.")
@_json
def runtime_image(name: str, *, push: bool, as_json: bool) -> None:
    """Make the image that brings the runtime into the pods of a Kubernetes cluster."""
    from bridge.cli import bundle

    bundle.image(name, push=push, as_json=as_json)


@app.group()
def image() -> None:
    """The images that AWS Lambda and AWS Batch run."""


@image.command("build")
@_fdl
@click.option("--service", default="", help="Only this service.")
@click.option(
    "--repository",
    default="",
    help="Name of the images without a tag; default: oscar-bridge/services.",
)
@click.option("--push", is_flag=True, help="Have them in that registry.")
@click.option("--runtime", type=_PATH, help="A runtime folder that was built elsewhere.")
@click.option("--dry-run", is_flag=True, help="Only say what is missing.")
@_json
def build_images(fdl: Path, **options: Any) -> None:
    """Lay the runtime on the images of services that may run on AWS; what exists is kept."""
    from bridge.cli import images

    images.build(fdl, **options)


def main() -> None:
    """Run the command line; users never see a traceback unless BRIDGE_DEBUG is set."""
    try:
        status = app.main(prog_name=_PROGRAM, standalone_mode=False)
    except click.Abort:
        _fail("interrupted", _INTERRUPTED)
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except BridgeError as error:
        _fail(f"{error.message}" + (f"\n  {error.hint}" if error.hint else ""), error.exit_status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        if os.environ.get("BRIDGE_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}"
        _fail(f"this is a defect of {_PROGRAM}: {what}\n  BRIDGE_DEBUG=1 shows where", _DEFECT)
    raise SystemExit(status or 0)


def _fail(message: str, status: int) -> None:
    click.echo(f"{_PROGRAM}: {message}", err=True)
    raise SystemExit(status)
