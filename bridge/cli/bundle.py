"""`runtime build` and `runtime image`: make the relocatable runtime folder, and its image."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.cli.output import print_json
from bridge.errors import UsageError

__all__ = ["build", "image"]


def build(output: Path | None, *, as_json: bool) -> None:
    """Build into `output`, or into the cache when it is None, and print the folder."""
    from bridge import runtime

    folder = runtime.cached() if output is None else runtime.build(output)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and not f.is_symlink())
    if as_json:
        print_json({"folder": str(folder), "digest": runtime.digest(), "bytes": size})
    else:
        click.echo(str(folder))


def image(name: str, *, push: bool, as_json: bool) -> None:
    """Have the runtime's image in the container engine, or in its registry, and print its name."""
    from bridge.images import make_runtime_image

    if push and not name:
        raise UsageError("--push needs to know where to", hint="add --name registry/repository:tag")
    made = make_runtime_image(name, push=push)
    if as_json:
        print_json({"image": str(made.target), "digest": made.digest})
    else:
        click.echo(str(made.target))
