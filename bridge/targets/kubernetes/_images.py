"""Which nodes have a service's image already, from what they say of themselves. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.errors import UsageError
from bridge.fdl.model import Service
from bridge.images import Reference
from bridge.scheduler import Image
from bridge.targets.kubernetes._pod import image_name
from bridge.targets.kubernetes._prefetch import wants_prefetch
from bridge.targets.kubernetes._room import Node

__all__ = ["image_of"]


def image_of(service: Service, nodes: Sequence[Node]) -> Image | None:
    """The share of the nodes that have the image, of those that take jobs now and of which it is
    known; None when it is known of none.

    An image that was to be prefetched is taken to be where a node cannot name all that it has.
    """
    names = _names(image_name(service.image))
    size: int | None = None
    have = known = 0
    for node in nodes:
        if node.out or node.images is None or (node.arch and node.arch != service.arch):
            continue
        found = next((node.images[name] for name in names if name in node.images), None)
        if found is not None:
            size = found or size
        elif node.cut and not wants_prefetch(service):
            continue
        have += found is not None or node.cut
        known += 1
    return Image(size, present=have / known) if known else None


def _names(image: str) -> tuple[str, ...]:
    """The names under which a node may have it: containerd's are full, Docker's are short."""
    try:
        parsed = Reference.parse(image)
    except UsageError:
        return (image,)
    full = f"{parsed.registry}/{parsed.repository}"
    ends = f"@{parsed.digest}" if parsed.digest else f":{parsed.tag}"
    return (full + ends, str(parsed))
