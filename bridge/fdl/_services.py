"""What services of every grammar have in common."""

from __future__ import annotations

from typing import Final

from bridge.fdl._context import Context
from bridge.fdl._kinds import Choice
from bridge.fdl._records import Section

LOG_LEVEL: Final = Choice(
    ("NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), other={"warn": "WARNING"}
)


def check_image(section: Section, context: Context) -> None:
    """Say when the `image` of a section cannot be one."""
    image = section.get("image")
    if "image" in section and (not image or len(image.split()) != 1):
        hint = "write it like ghcr.io/owner/name:tag"
        context.log.at(section.place("image"), f"{image!r} is not an image", hint)
