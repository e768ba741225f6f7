"""`invoke`, `submit`, `put` and `get`: bytes that go to services and buckets, and come back."""

from __future__ import annotations

import sys
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from bridge.cli.output import print_json, size
from bridge.errors import PermanentError, UsageError

if TYPE_CHECKING:
    from bridge.operate.sides import Side
    from bridge.operate.submit import Submitted
    from bridge.operate.transfer import Moved, Place

__all__ = ["get", "invoke", "put", "submit"]

_FAILED = 1


def invoke(
    sides: Sequence[Side], service: str, file: BinaryIO, *, output: Path | None, decode: bool
) -> None:
    """Send a body, wait, and write the reply, byte for byte."""
    from bridge.operate.sides import holder

    reply = holder(sides, service).invoke(service, file.read())
    _give(_decoded(reply, service) if decode else reply, output)


def _give(reply: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.buffer.write(reply)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(reply)
    except OSError as error:
        raise PermanentError(f"cannot write {output}: {error.strerror}") from error
    click.echo(f"{output} ({size(len(reply))})", err=True)


def _decoded(reply: bytes, service: str) -> bytes:
    try:
        return b64decode(reply, validate=True)
    except ValueError:
        hint = "its script printed something and left no file: leave out --decode"
        raise PermanentError(f"the reply of {service} is not base64", hint=hint) from None


def put(sides: Sequence[Side], where: str, files: tuple[Path, ...], *, as_json: bool) -> int:
    """Upload; status 1 when one could not be."""
    from bridge.operate import transfer

    named = transfer.named_files(files)
    place = _place(sides, where, outputs=False)
    show = _silent if as_json else _uploaded
    return _end(transfer.put(place, named, show), as_json=as_json)


def get(sides: Sequence[Side], where: str, folder: Path, *, as_json: bool) -> int:
    """Download; status 1 when one could not be."""
    from bridge.operate import transfer

    place = _place(sides, where, outputs=True)
    show = _silent if as_json else _downloaded
    return _end(transfer.get(place, folder, show), as_json=as_json)


def _place(sides: Sequence[Side], where: str, *, outputs: bool) -> Place:
    from bridge.operate.sides import holder

    scheme, url, _ = where.partition("://")
    if not url:
        return holder(sides, where).place(where, outputs=outputs)
    found = [side for side in sides if side.scheme == scheme or len(sides) == 1]
    if len(found) != 1:
        there = ", ".join(side.name for side in sides)
        hint = "--cluster names one of the clusters" if found else f"this user has {there}"
        raise UsageError(f"{where} is on no one place that is known", hint=hint)
    return found[0].bucket(where)


def _silent(one: object) -> None:
    """Nothing: JSON is printed at the end."""


def _uploaded(one: Moved) -> None:
    _say(one.problem, f"{one.path} → {one.url} ({size(one.size)})")


def _downloaded(one: Moved) -> None:
    _say(one.problem, f"{one.url} → {one.path} ({size(one.size)})")


def _say(problem: str, line: str) -> None:
    click.echo(problem or line, err=bool(problem))


def _end(moved: list[Moved], *, as_json: bool) -> int:
    failed = [one for one in moved if one.problem]
    if as_json:
        print_json({"files": [_plain(one) for one in moved]})
    elif failed:
        click.echo(f"{len(failed)} of {len(moved)} files could not be moved", err=True)
    return _FAILED if failed else 0


def _plain(one: Moved) -> dict[str, Any]:
    return {
        "file": str(one.path),
        "url": one.url,
        "size": one.size,
        "etag": one.etag,
        "problem": one.problem,
    }


def submit(
    sides: Sequence[Side],
    service: str,
    files: tuple[Path, ...],
    *,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> int:
    """Hand files over; with `wait` until their jobs have ended. Status 1 when something failed."""
    from bridge.operate import transfer
    from bridge.operate.sides import holder

    side = holder(sides, service)
    named = transfer.named_files(files)
    known = side.known(service) if wait else frozenset()
    handed = side.submit(service, named, _silent if as_json else _handed)
    failed = any(one.problem for one in handed)
    jobs = []
    if wait:
        for job in side.awaited(service, handed, known, timeout=timeout):
            jobs.append(job)
            failed |= job.state.value != "succeeded"
            if not as_json:
                _say("", f"{job.id}: {job.state}" + (f", {job.reason}" if job.reason else ""))
    if as_json:
        from bridge.cli.jobs import plain_job

        print_json(
            {"files": [_plain_handed(h) for h in handed], "jobs": [plain_job(j) for j in jobs]}
        )
    return _FAILED if failed else 0


def _handed(one: Submitted) -> None:
    to = one.url or ", ".join(one.jobs)
    _say(one.problem, f"{one.path} → {to} ({size(one.size)})")


def _plain_handed(one: Submitted) -> dict[str, Any]:
    return {
        "file": str(one.path),
        "url": one.url,
        "jobs": list(one.jobs),
        "size": one.size,
        "problem": one.problem,
    }
