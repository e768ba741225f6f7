"""Entry point of `oscar-bridge`: the commands and their options; the work is in the other modules.

Only typer is imported here; each command imports what it needs when it runs, so that `--help`
answers at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bridge.errors import BridgeError

__all__ = ["app", "main"]

app = typer.Typer(
    name="oscar-bridge",
    help="Run FDL services of OSCAR and SCAR on clusters, AWS Lambda, AWS Batch or this machine.",
    epilog=(
        "Exit status: 0 success, 1 a job failed, 2 bad FDL or usage, 3 a missing tool, "
        "70 an error of ours, 130 interrupted."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Fdl = Annotated[Path, typer.Argument(help="The FDL file.", show_default=False)]


@app.command()
def validate(
    fdl: Annotated[list[Path], typer.Argument(help="FDL files.", show_default=False)],
    json: Json = False,
) -> None:
    """Check FDL files: every problem with its place. Exit 0, or 2 when there are problems."""
    from bridge.cli import check

    raise typer.Exit(check.validate(fdl, as_json=json))


@app.command()
def graph(
    fdl: Fdl,
    format: Annotated[str, typer.Option(help="mermaid, dot or json.")] = "mermaid",
    json: Json = False,
) -> None:
    """Draw the pipeline that the services' shared paths make."""
    from bridge.cli import check

    check.graph(fdl, "json" if json else format)


@app.command()
def plan(
    fdl: Fdl,
    policy: Annotated[str, typer.Option(help="Place every service by this policy.")] = "",
    json: Json = False,
) -> None:
    """Show where each service would run, why, and what a job would cost there."""
    from bridge.cli import placement

    placement.plan(fdl, policy=policy, as_json=json)


@app.command()
def run(  # noqa: PLR0917  typer makes options of the parameters
    fdl: Fdl,
    input: Annotated[
        list[Path], typer.Option("--input", "-i", help="A file, or a folder of files, to feed in.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for what the last stages write.")
    ] = Path("oscar-bridge-results"),
    engine: Annotated[
        str, typer.Option(help="auto, container or process.", show_default="auto")
    ] = "auto",
    timeout: Annotated[
        float | None, typer.Option(help="Give up after this many seconds.", min=1)
    ] = None,
    json: Json = False,
) -> None:
    """Run the whole pipeline once on this machine and fetch the results."""
    from bridge.cli import oneshot

    raise typer.Exit(oneshot.run(fdl, input, output, engine=engine, timeout=timeout, as_json=json))


@app.command()
def doctor(json: Json = False) -> None:
    """Say what this machine has, and what that makes possible."""
    from bridge.cli import doctor as examination

    examination.doctor(as_json=json)


@app.command()
def schema() -> None:
    """Print the JSON Schema of FDL, for editors."""
    from bridge.cli import check

    check.schema()


@app.command()
def version(json: Json = False) -> None:
    """Print the version."""
    from bridge import __version__

    typer.echo(f'{{"version": "{__version__}"}}' if json else f"oscar-bridge {__version__}")


runtime = typer.Typer(help="The runtime that is laid beside a user's image.", no_args_is_help=True)
app.add_typer(runtime, name="runtime")


@runtime.command()
def build(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to make; default: the cache.")
    ] = None,
    json: Json = False,
) -> None:
    """Build the relocatable folder that runs as /opt/bridge in any Linux image."""
    from bridge.cli import bundle

    bundle.build(output, as_json=json)


image = typer.Typer(help="The images that AWS Lambda and AWS Batch run.", no_args_is_help=True)
app.add_typer(image, name="image")


@image.command("build")
def build_images(  # noqa: PLR0917  typer makes options of the parameters
    fdl: Fdl,
    service: Annotated[str, typer.Option(help="Only this service.")] = "",
    repository: Annotated[
        str, typer.Option(help="Name of the images without a tag; default: oscar-bridge/services.")
    ] = "",
    push: Annotated[bool, typer.Option("--push", help="Have them in that registry.")] = False,
    runtime: Annotated[
        Path | None, typer.Option(help="A runtime folder that was built elsewhere.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is missing.")] = False,
    json: Json = False,
) -> None:
    """Lay the runtime on the images of services that may run on AWS; what exists is kept."""
    from bridge.cli import images

    images.build(
        fdl,
        service=service,
        repository=repository,
        push=push,
        runtime=runtime,
        dry_run=dry_run,
        as_json=json,
    )


def main() -> None:
    """Run the command line; users never see a traceback unless BRIDGE_DEBUG is set."""
    try:
        app()
    except BridgeError as error:
        _fail(f"{error.message}" + (f"\n  {error.hint}" if error.hint else ""), error.exit_status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        if os.environ.get("BRIDGE_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}"
        _fail(f"this is a defect of oscar-bridge: {what}\n  BRIDGE_DEBUG=1 shows where", 70)


def _fail(message: str, status: int) -> None:
    typer.echo(f"oscar-bridge: {message}", err=True)
    raise SystemExit(status)
