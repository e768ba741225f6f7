"""Containers or plain processes: what a session uses, and what the user must know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from bridge.errors import PermanentError
from bridge.fdl.model import Service
from bridge.local.executors import choose, resolve

__all__ = ["resolved"]

_PLAIN: Final = (
    "jobs run as plain processes of this user: not isolated, without limits of memory and cores, "
    "and the images are not used"
)


def resolved(engine: str, services: Iterable[Service], note: Callable[[str], None]) -> str:
    """`container` or `process`.

    `auto` is containers where an engine answers and has all images of the services. Errors are
    those of `bridge.local.executors.resolve`; a missing image is one later, when a target is
    deployed, and only if containers were asked for.
    """
    found = resolve(engine)
    if engine == "auto" and found == "container":
        missing = _missing_image(services)
        if missing:
            note(f"{missing}; --engine container insists on containers")
            found = "process"
    if found == "process":
        note(_PLAIN)
    return found


def _missing_image(services: Iterable[Service]) -> str:
    """Why an image cannot be used; "" when all can."""
    executor = choose("container", "image-check")
    try:
        for image in sorted({service.image for service in services}):
            executor.check(image)
    except PermanentError as error:
        return error.message
    finally:
        executor.close()
    return ""
