"""`runtime build`: make the relocatable runtime folder."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.cli.output import print_json

__all__ = ["build"]


def build(output: Path | None, *, as_json: bool) -> None:
    """Build into `output`, or into the cache when it is None, and print the folder."""
    from bridge import runtime

    folder = runtime.cached() if output is None else runtime.build(output)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and not f.is_symlink())
    if as_json:
        print_json({"folder": str(folder), "digest": runtime.digest(), "bytes": size})
    else:
        click.echo(str(folder))
