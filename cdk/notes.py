"""What an FDL file says that has no effect on AWS, or another one than a reader may think. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bridge.fdl import AwsOptions
from bridge.fdl.model import Document, Service
from bridge.fdl.options import LambdaOptions
from cdk.selection import Note, aws_paths, has_keys

__all__ = ["notes_of"]

_UNSET: Final = LambdaOptions()
_OURS: Final = "the dispatcher runs again what was lost, on any target"
_UNUSED: Final[tuple[tuple[str, str], ...]] = (
    ("layers", "functions of an image have no layers: put their files into the image"),
    ("extra_payload", "put the files into the image"),
    ("deployment", "nothing is uploaded as a zip package"),
    ("supervisor", "the runtime comes with this deployment"),
    ("invocation_type", "invoke and submit say how they call"),
    ("preheat", "the first job starts the function"),
)


def notes_of(service: Service, document: Document, *, function: bool, job: bool) -> Iterator[Note]:
    """Notes about one service, with places where the file has them."""
    for path in service.inputs:
        if path not in set(aws_paths(service.inputs, document)):
            text = (
                f"new objects of {path} start it only where that storage is watched; on AWS send "
                f"events with POST /job/{service.name}"
            )
            yield Note(service.name, text, path.place)
        elif has_keys(path.provider, document):
            text = f"events of {path} come only from a bucket of this account and region"
            yield Note(service.name, text, path.place)
    options = service.options
    if isinstance(options, AwsOptions):
        yield from _of_options(service, options, function=function, job=job)


def _of_options(
    service: Service, options: AwsOptions, *, function: bool, job: bool
) -> Iterator[Note]:
    given = options.function
    for key, why in _UNUSED:
        if getattr(given, key) != getattr(_UNSET, key):
            yield Note(service.name, f"{key} has no effect: {why}", service.place)
    for key, value, why in (
        ("lambda.retries", given.retries, _OURS),
        ("batch.retries", options.batch.retries, _OURS),
        ("batch.array", options.batch.array, "what comes together is an array by itself"),
    ):
        if value is not None:
            yield Note(service.name, f"{key} has no effect: {why}", service.place)
    if job and not function and given.timeout != _UNSET.timeout:
        text = "lambda.timeout has no effect in batch mode: write batch.timeout"
        yield Note(service.name, text, service.place)
    if given.runtime != _UNSET.runtime:
        text = f"runtime {given.runtime} has no effect: its image runs it"
        yield Note(service.name, text, service.place)
    if job and not function and (given.vpc or given.file_system):
        text = "vpc and file_system are the function's: Batch has batch.compute_resources"
        yield Note(service.name, text, service.place)
    elif job and given.file_system:
        text = "file_system is the function's only: the Batch job does not have it"
        yield Note(service.name, text, service.place)
