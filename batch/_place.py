"""What AWS Batch says of the container's place in its job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bridge.errors import UsageError


class Place(NamedTuple):
    """`child` is this one's number in an array job, None outside of one; `attempt` is from 1.

    `main` is False on the nodes of a multi-node job that only help.
    """

    child: int | None = None
    attempt: int | None = None
    main: bool = True


def place_of(environ: Mapping[str, str]) -> Place:
    """The place that Batch's variables describe; UsageError when one has no meaning."""
    node = _number(environ, "AWS_BATCH_JOB_NODE_INDEX")
    leader = _number(environ, "AWS_BATCH_JOB_MAIN_NODE_INDEX") or 0
    return Place(
        child=_number(environ, "AWS_BATCH_JOB_ARRAY_INDEX"),
        attempt=_number(environ, "AWS_BATCH_JOB_ATTEMPT"),
        main=node is None or node == leader,
    )


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"{name} must be a number, 0 or more, not {text!r}")
    return int(text)
