"""From an FDL file to a CDK app with its stacks."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from aws_cdk import (
    Annotations,
    App,
    CliCredentialsStackSynthesizer,
    DefaultStackSynthesizer,
    Environment,
    IReusableStackSynthesizer,
)

from bridge.errors import UsageError
from cdk.code import assemble
from cdk.facts import Facts
from cdk.names import Base
from cdk.selection import Note, Selection
from cdk.settings import Settings
from cdk.stacks import BaseStack, FileStack, split
from cdk.wanted import Wanted, wanted

__all__ = ["build_app"]

# What the CDK CLI would switch on: the same stacks must come out without it.
_FLAGS: Final = {
    "aws:cdk:enable-path-metadata": False,
    "aws:cdk:enable-asset-metadata": False,
    "@aws-cdk/core:enablePartitionLiterals": True,
}


class _File(NamedTuple):
    """A file's services, and a folder for what assets are made of."""

    selection: Selection
    services: Sequence[Wanted]
    folder: Path


def build_app(
    selection: Selection,
    settings: Settings,
    facts: Facts,
    images: Mapping[str, str],
    *,
    outdir: str | None = None,
) -> App:
    """The app with the base stack and the file's stacks; nothing is written before `synth`.

    FdlError with the place of everything in the file that AWS cannot have, UsageError when there
    are none, or too many services for the stacks. The same arguments make the same templates.
    """
    base = Base(settings.prefix, facts.account, facts.region, facts.partition)
    services = wanted(selection, facts, base, images)
    if not services and not settings.only_base:
        raise UsageError(
            f"no service of {settings.fdl} may run on AWS", hint="there is nothing to deploy there"
        )
    buckets = len(selection.buckets())
    shards = [] if settings.only_base else split(services, buckets, settings)
    app = App(outdir=outdir, analytics_reporting=False, post_cli_context=_FLAGS)
    common: dict[str, Any] = {
        "base": base,
        "facts": facts,
        "settings": settings,
        "env": Environment(account=facts.account, region=facts.region),
    }
    # What assets are made of is copied into the assembly at once.
    with tempfile.TemporaryDirectory(prefix="oscar-bridge-synth-") as folder:
        first = _base_stack(app, Path(folder), common)
        for number, shard in enumerate(shards):
            if number and not shard:
                continue
            file = _File(selection, services, Path(folder))
            stack = _file_stack(app, file, number, shard, common)
            stack.add_stack_dependency(first, "Names of the base's things are in this stack")
    return app


def _base_stack(app: App, folder: Path, common: Mapping[str, Any]) -> BaseStack:
    code = folder / "dispatcher"
    assemble(code)
    base, facts = common["base"], common["facts"]
    synthesizer = _synthesizer(base, facts)
    return BaseStack(
        app, code=str(code), assets=_assets(base, facts), synthesizer=synthesizer, **common
    )


def _file_stack(
    app: App, file: _File, number: int, shard: Sequence[Wanted], common: Mapping[str, Any]
) -> FileStack:
    """One of the file's stacks. The first has its buckets and what is to be said of all of it."""
    settings: Settings = common["settings"]
    stack = FileStack(
        app,
        settings.stack_names[number],
        services=shard,
        buckets=() if number else file.selection.buckets(),
        watched=sorted({trigger.bucket for one in file.services for trigger in one.triggers}),
        folder=file.folder,
        synthesizer=_synthesizer(common["base"], common["facts"]),
        **common,
    )
    _annotate(stack, shard, settings)
    if not number:
        _warn(stack, file.selection.notes, "file")
    return stack


def _synthesizer(base: Base, facts: Facts) -> IReusableStackSynthesizer:
    if facts.assets == "bootstrap":
        return DefaultStackSynthesizer()
    return CliCredentialsStackSynthesizer(file_assets_bucket_name=base.assets)


def _assets(base: Base, facts: Facts) -> str:
    """The bucket that assets go to."""
    if facts.assets == "own":
        return base.assets
    return f"cdk-{DefaultStackSynthesizer.DEFAULT_QUALIFIER}-assets-{base.account}-{base.region}"


def _annotate(stack: FileStack, services: Sequence[Wanted], settings: Settings) -> None:
    _warn(stack, [note for one in services for note in one.notes], "service")
    missing = [one.secret for one in services if one.secret]
    if missing and settings.push:
        text = f"secrets are written by `oscar-bridge secrets {settings.fdl}`: {', '.join(missing)}"
        Annotations.of(stack).add_warning_v2("oscar-bridge:secrets", text)


def _warn(stack: FileStack, notes: Sequence[Note], kind: str) -> None:
    for number, note in enumerate(notes):
        where = f"{note.place.line}:{note.place.column}: " if note.place else ""
        Annotations.of(stack).add_warning_v2(f"oscar-bridge:{kind}-{number}", f"{where}{note}")
