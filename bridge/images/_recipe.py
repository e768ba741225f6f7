"""How a service image is made of a user's image: pure functions over configurations.

What is added is one layer with the runtime. The user's USER, WORKDIR, ENV and all else stay.
ENTRYPOINT is cleared because AWS Batch cannot override it, and CMD because AWS Lambda would give
it as arguments to the entry point that a function is configured with.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from bridge.images.model import Source

VERSION: Final = "1"  # part of every tag: raise it when the same inputs make another image
LABEL: Final = "oscar-bridge"
_BASE: Final = "org.opencontainers.image.base"
_TAG_LENGTH: Final = 32
_CREATED_BY: Final = "oscar-bridge: runtime in /opt/bridge, no ENTRYPOINT, no CMD"

# What of a configuration an image's user can see; engines add more, each its own.
_VISIBLE: Final = (
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "OnBuild",
    "Shell",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
)


def identity(arch: str, layers: list[str], config: Mapping[str, Any]) -> str:
    """A digest of an image's content: the same from any engine and any registry.

    `layers` are the digests of the uncompressed layers, `config` is the part of the image's
    configuration that containers get.
    """
    visible = {key: config[key] for key in _VISIBLE if config.get(key)}
    text = json.dumps([arch, layers, visible], sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def tag(source: str, runtime: str) -> str:
    """The tag of the image that this recipe makes of a source and a runtime."""
    text = "\0".join((VERSION, source, runtime))
    return hashlib.sha256(text.encode()).hexdigest()[:_TAG_LENGTH]


def labels(
    source: Source, runtime: str, existing: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Labels of the new image. What an image laid before says of its user's image is kept."""
    made = {
        f"{LABEL}.command": json.dumps(source.command),
        f"{LABEL}.entrypoint": json.dumps(source.entrypoint),
        f"{LABEL}.source": source.identity,
    }
    if f"{LABEL}.runtime" in existing:
        made |= {key: existing[key] for key in made if key in existing}
    made |= {f"{LABEL}.recipe": VERSION, f"{LABEL}.runtime": runtime, f"{_BASE}.name": source.name}
    if source.digest:
        made[f"{_BASE}.digest"] = source.digest
    return tuple(sorted(made.items()))


def service_config(
    config: Mapping[str, Any], layer: str, labels: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    """The configuration document of the new image, made of the source's.

    `layer` is the digest of the added layer, uncompressed. The time of creation stays the
    source's, so that the same inputs give the same bytes.
    """
    made = copy.deepcopy(dict(config))
    for engines_own in ("container", "container_config"):
        made.pop(engines_own, None)
    inner = made.setdefault("config", {})
    for cleared in ("Cmd", "Entrypoint"):
        inner.pop(cleared, None)
    inner["Labels"] = {**(inner.get("Labels") or {}), **dict(labels)}
    made["rootfs"]["diff_ids"].append(layer)
    made.setdefault("history", []).append(_history(made))
    return made


def _history(config: Mapping[str, Any]) -> dict[str, str]:
    entry = {"created_by": _CREATED_BY}
    return {"created": config["created"], **entry} if config.get("created") else entry
