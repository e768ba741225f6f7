"""The manifest of a job: what happened, in the form of the job contract."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge.errors import NotFoundError, PermanentError, UsageError

if TYPE_CHECKING:
    from bridge.supervisor.stores import StoreFactory

# pathlib is left out: importing it costs the supervisor a tenth of its start.
# ruff: noqa: PTH105, PTH108, PTH118, PTH123

# Exit statuses of the job contract; below them, the script's own.
TIMED_OUT, STAGE_IN_FAILED, STAGE_OUT_FAILED, NO_SCRIPT, SIGNALLED = 124, 125, 126, 127, 128
SUCCEEDED, FAILED = "succeeded", "failed"
# Never in a report at BRIDGE_REPORT: the place that has the job now writes that one.
HANDED_OVER = "handed over"
_S3 = "s3://"
# Where Kubernetes looks for the last words of a container, and how many bytes of them it keeps: the
# containers of a pod share 12 KiB. A mesh adds two to ours; what is cut off is no report any more.
_LAST_WORDS, _LAST_WORDS_LIMIT = "/dev/termination-log", 12288 // 4
_REASON_LIMIT = 300
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Report(NamedTuple):
    """One job's manifest. Times are seconds since the epoch, phases seconds.

    `exit_code` is the script's own, None when it did not run or was killed. `status` is what the
    one-shot and Batch entries exit with. `temporary` says that a failure may pass by itself, `cold`
    that the supervisor's process had run no job before.
    Not part of the JSON: `reply` is the body of a synchronous call, `reply_error` why there is
    none, and `repeated` is True when the job had succeeded before and was not run again.
    """

    job: str
    attempt: int = 1
    service: str = ""
    state: str = SUCCEEDED
    exit_code: int | None = None
    reason: str = ""
    started: float = 0.0
    ended: float = 0.0
    phases: Mapping[str, float] = _NOTHING
    input: Mapping[str, Any] = _NOTHING
    outputs: tuple[Mapping[str, Any], ...] = ()
    status: int = 0
    temporary: bool = False
    cold: bool = False
    reply: bytes = b""
    reply_error: str = ""
    repeated: bool = False

    def as_json(self) -> dict[str, Any]:
        """The report as plain values, in the contract's order."""
        return {
            "job": self.job,
            "attempt": self.attempt,
            "service": self.service,
            "state": self.state,
            "exit_code": self.exit_code,
            "status": self.status,
            "reason": self.reason,
            "temporary": self.temporary,
            "started": self.started,
            "ended": self.ended,
            "phases": dict(self.phases),
            "input": dict(self.input),
            "outputs": [dict(output) for output in self.outputs],
            "cold": self.cold,
        }

    def line(self, limit: int | None = None) -> bytes:
        """The report as one line of JSON, with its line end.

        Where it would be longer than `limit` bytes, the last outputs are left out and counted in
        `outputs_left_out`; if need be the input too, and the end of the reason.
        """
        whole = _line(self.as_json())
        return whole if limit is None or len(whole) <= limit else _shortened(self, limit)


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"


def _shortened(report: Report, limit: int) -> bytes:
    short = {**report.as_json(), "outputs": [], "outputs_left_out": len(report.outputs)}
    if len(_line(short)) > limit:
        reason = report.reason
        cut = f"{reason[:_REASON_LIMIT]}…" if len(reason) > _REASON_LIMIT else reason
        short |= {"input": {}, "reason": cut}
    room = limit - len(_line(short))
    for output in report.outputs:
        room -= len(json.dumps(dict(output))) + 2
        if room < 0:
            break
        short["outputs"].append(dict(output))
        short["outputs_left_out"] -= 1
    return _line(short)


def parse_report(document: object) -> Report:
    """A report from its JSON value; PermanentError when it is none."""
    if not isinstance(document, Mapping) or not isinstance(document.get("job"), str):
        raise PermanentError("this is no report of a job")
    names = Report(job="").as_json().keys()
    known = {name: document[name] for name in names if name in document}
    known["outputs"] = tuple(known.get("outputs") or ())
    return Report(**known)


def write_report(report: Report, place: str, stores: StoreFactory, folder: str) -> None:
    """Put the report at BRIDGE_REPORT's place: a file, replaced at once, or an object in S3.

    A place that ends in a slash is a folder for `<job>.json`. In a pod's `/dev/termination-log` the
    report is shortened to what Kubernetes keeps. On its way to S3 it needs no disk: a
    full one is what it may have to tell of. `folder` is for systems without files in memory.
    Raises PermanentError or what the store raises.
    """
    if place.startswith(_S3):
        bucket, key = _object(place, report.job)
        with _in_memory(report, folder) as path:
            stores("s3.default").put(bucket, key, path)
        return
    if place == _LAST_WORDS:
        # It is a mount, which cannot be replaced, and is read when this process has ended.
        _write(report, place, _LAST_WORDS_LIMIT)
        return
    final = os.path.join(place, f"{report.job}.json") if place.endswith("/") else place
    part = _write(report, f"{final}.{os.getpid()}.part")
    os.replace(part, final)


def earlier_success(job: str, place: str, stores: StoreFactory, folder: str) -> Report | None:
    """The report of this job at an S3 place, if it has succeeded before; None otherwise."""
    if not place.startswith(_S3):
        return None
    bucket, key = _object(place, job)
    path = os.path.join(folder, f".earlier-{os.getpid()}")
    try:
        stores("s3.default").get(bucket, key, path)
        with open(path, "rb") as file:
            report = parse_report(json.load(file))
    except (NotFoundError, ValueError):
        return None
    return report if report.state == SUCCEEDED and report.job == job else None


def s3_place(url: str) -> tuple[str, str]:
    """Bucket and key (or prefix) of an s3:// URL; UsageError when it is none."""
    bucket, _, key = url.removeprefix(_S3).partition("/")
    if not url.startswith(_S3) or not bucket:
        raise UsageError(f"not an s3://bucket/key URL: {url}")
    return bucket, key


def _object(place: str, job: str) -> tuple[str, str]:
    bucket, prefix = s3_place(place)
    return bucket, f"{prefix.rstrip('/')}/{job}.json".lstrip("/")


@contextmanager
def _in_memory(report: Report, folder: str) -> Iterator[str]:
    """A path that can be read while the block lasts, and that takes no room on a disk."""
    if not hasattr(os, "memfd_create"):
        path = _write(report, os.path.join(folder, f".report-{os.getpid()}"))
        try:
            yield path
        finally:
            os.unlink(path)
        return
    descriptor = os.memfd_create("report")
    try:
        os.write(descriptor, report.line())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _write(report: Report, path: str, limit: int | None = None) -> str:
    try:
        with open(path, "wb") as file:
            file.write(report.line(limit))
    except OSError as error:
        raise PermanentError(f"cannot write the report {path}: {error.strerror}") from error
    return path
