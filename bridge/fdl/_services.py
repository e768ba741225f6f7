"""What services of every grammar have in common."""

from __future__ import annotations

from typing import Any, Final

from bridge.fdl._context import Context
from bridge.fdl._kinds import Choice
from bridge.fdl._records import Section
from bridge.fdl.model import Service

LOG_LEVEL: Final = Choice(
    ("NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), other={"warn": "WARNING"}
)


def check_image(section: Section, context: Context) -> None:
    """Say when the `image` of a section cannot be one."""
    image = section.get("image")
    if "image" in section and (not image or len(image.split()) != 1):
        hint = "write it like ghcr.io/owner/name:tag"
        context.log.at(section.place("image"), f"{image!r} is not an image", hint)


def dump_environment(service: Service) -> dict[str, Any] | None:
    """The values of ENVIRONMENT's fields, None when there are none."""
    found = {"variables": service.variables, "secrets": service.secrets}
    return {name: values for name, values in found.items() if values} or None
