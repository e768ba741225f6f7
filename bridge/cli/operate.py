"""The commands of day two: what is deployed, its jobs, logs and costs, and files in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bridge.cli.aws_options import aws_choices, aws_options, json_option, side_options, sides_lazily

if TYPE_CHECKING:
    from bridge.operate.sides import Side
    from bridge.targets.aws import Account

    Sides = Callable[[], Sequence[Side]]

__all__ = ["register"]

_PATH: Final = click.Path(path_type=Path)
_SERVICE: Final = click.argument("service")
_STATES: Final = (
    "accepted",
    "placed",
    "submitted",
    "running",
    "succeeded",
    "failed",
    "cancelled",
    "dead",
)


@click.command("ls")
@side_options
@json_option
def ls(sides: Sequence[Side], as_json: bool) -> int:
    """List the deployed services and how they stand now."""
    from bridge.cli import services

    return services.show(sides, as_json=as_json)


@click.command("logs")
@_SERVICE
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C, or the end of --job.")
@click.option("--job", default="", help="Only this job: all its attempts.")
@click.option("--since", default="", help="10m, 2h, 1d or an ISO time; default: 1h, or the job.")
@side_options
@json_option
def logs(service: str, sides: Sequence[Side], **options: Any) -> int:
    """Print the logs of a service or of one job.

    Lambda's and Batch's, or a cluster's, in one order of time, of failed jobs too.
    """
    from bridge.cli import logs as printing

    return printing.show(sides, service, **options)


@click.command("jobs")
@click.argument("service", default="")
@click.option("--state", "-s", "states", multiple=True, type=click.Choice(_STATES))
@click.option("--limit", "-n", default=50, show_default=True, type=click.IntRange(1, 10_000))
@side_options
@json_option
def jobs(service: str, sides: Sequence[Side], **options: Any) -> int:
    """List the newest jobs, of all services or of one."""
    from bridge.cli import jobs as printing

    return printing.show(sides, service, **options)


@click.command("job")
@click.argument("job")
@side_options
@json_option
def job(job: str, sides: Sequence[Side], as_json: bool) -> int:
    """Show one job: attempts, decision, outputs."""
    from bridge.cli import jobs as printing

    return printing.show_one(sides, job, as_json=as_json)


@click.command("explain")
@click.argument("name", metavar="JOB|SERVICE")
@click.option("--state", type=_PATH, help="Folder of `up --keep`: its jobs, without a manager.")
@sides_lazily
@json_option
def explain(name: str, sides: Sides, state: Path | None, as_json: bool) -> int:
    """Say why a job is where it is, or where one would go.

    Every candidate: seconds, costs, scores term by term, or why it cannot run the job. For a
    SERVICE it is the decision as it would be now.
    """
    from bridge.cli import explain as printing

    return printing.explain(sides, name, state=state, as_json=as_json)


@click.command("replay")
@click.option("--policy", default="", help="Decide again with it; default: only compare trials.")
@click.option("--since", default="1d", show_default=True, help="10m, 2h, 1d or an ISO time.")
@click.option("--service", default="", help="Only this service.")
@click.option("--limit", "-n", default=10_000, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--state", type=_PATH, help="Folder of `up --keep`: its jobs, without a manager.")
@click.option("--file", type=_PATH, help="The FDL file of its services; with --state.")
@sides_lazily
@json_option
def replay(sides: Sides, **options: Any) -> int:
    """Decide the past again with another policy; nothing runs.

    What each decision would have been, on what was known when it was taken: how many jobs would
    have gone elsewhere, and the difference in cost, waiting and missed deadlines, beside what
    became of the jobs. Policies that were on trial are compared, too.
    """
    from bridge.cli import replay as printing

    return printing.replay(sides, **options)


@click.command("invoke")
@_SERVICE
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--output", "-o", type=_PATH, help="Write the reply there, not to standard output.")
@click.option("--decode", "-d", is_flag=True, help="The reply is a file in base64, or a zip.")
@side_options
def invoke(service: str, file: Any, sides: Sequence[Side], **options: Any) -> None:
    """Run a service once and print its reply.

    FILE, or standard input, is what its script gets. It is asked once, and waited for as long as
    its function may run, or 15 minutes on a cluster. A script that failed gives exit status 1 and
    the end of its log. The reply is what the script printed; when it left files instead it is
    base64: of the file, or of a zip of several.
    """
    from bridge.cli import files

    files.invoke(sides, service, file, **options)


@click.command("submit")
@_SERVICE
@click.argument("files", nargs=-1, required=True, type=_PATH)
@click.option("--wait", "-w", is_flag=True, help="Wait until the jobs have ended; 1 if one failed.")
@click.option("--timeout", default=3600.0, show_default=True, help="Seconds to --wait at most.")
@side_options
@json_option
def submit(service: str, files: tuple[Path, ...], sides: Sequence[Side], **options: Any) -> int:
    """Start a job for each file.

    Files go below the service's input on S3 or in the cluster's MinIO; without one, each is sent as
    an event.
    """
    from bridge.cli import files as moving

    return moving.submit(sides, service, files, **options)


@click.command("put")
@click.argument("where", metavar="SERVICE|s3://BUCKET/FOLDER|minio://…")
@click.argument("files", nargs=-1, required=True, type=_PATH)
@side_options
@json_option
def put(where: str, files: tuple[Path, ...], sides: Sequence[Side], as_json: bool) -> int:
    """Upload to a bucket or a service's input.

    Folders go file by file, by their paths inside.
    """
    from bridge.cli import files as moving

    return moving.put(sides, where, files, as_json=as_json)


@click.command("get")
@click.argument("where", metavar="SERVICE|s3://BUCKET/FOLDER|minio://…")
@click.argument("folder", type=_PATH)
@side_options
@json_option
def get(where: str, folder: Path, sides: Sequence[Side], as_json: bool) -> int:
    """Download from a bucket or a service's output.

    The object of that key, and all objects below it, by names relative to it. No key leaves FOLDER.
    """
    from bridge.cli import files as moving

    return moving.get(sides, where, folder, as_json=as_json)


@click.command("cost")
@_SERVICE
@click.option("--runs", "-n", default=100, show_default=True, type=click.IntRange(0, 10_000))
@aws_options
@json_option
def cost(service: str, runs: int, account: Account, as_json: bool) -> None:
    """Say what a job costs, and what the last runs did.

    By dated list prices, for each target that the service may run on.
    """
    from bridge.cli import services

    services.cost(account, service, runs=runs, as_json=as_json)


@click.command("import-scar")
@click.argument("source", metavar="FILE|FUNCTION")
@click.option("--output", "-o", type=_PATH, help="Write the FDL there, and scripts beside it.")
@click.option("--reveal", is_flag=True, help="Write secrets too, as they are in the source.")
@aws_choices
@json_option
def import_scar(source: str, **options: Any) -> int:
    """Make FDL of a file or function of SCAR.

    A YAML file that any SCAR since 2018 took, or a function that it deployed, which is only read.
    Exit status 2 when `validate` would still refuse the result.
    """
    from bridge.cli import scar

    return scar.run(source, **options)


def register(app: click.Group) -> None:
    """Add these commands to the program."""
    for command in (
        ls,
        logs,
        jobs,
        job,
        explain,
        replay,
        invoke,
        submit,
        put,
        get,
        cost,
        import_scar,
    ):
        app.add_command(command)
