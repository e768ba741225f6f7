"""The image that brings the runtime into a pod: nothing but the folder, and how to copy it.

It is run beside a service's container, before it, with the folder to fill as its argument. It has
no shell: the runtime's own interpreter does the copying.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bridge.images._bundle import Bundle
from bridge.images._recipe import LABEL
from bridge.images._service import EngineOf, docker_engine
from bridge.images.credentials import docker_credentials
from bridge.images.model import Built, Reference

__all__ = ["make_runtime_image", "runtime_entry", "runtime_image_name"]

_REPOSITORY: Final = "oscar-bridge/runtime"
_LABEL: Final = f"{LABEL}.runtime"
_DIGITS: Final = 12
_PLACE: Final = "/opt/bridge"
# Into a folder of somebody else, whose own mode cannot be changed.
_COPY: Final = f"""\
import os, shutil, sys
for one in os.scandir("{_PLACE}"):
    copy = shutil.copytree if one.is_dir() else shutil.copy2
    copy(one.path, os.path.join(sys.argv[1], one.name))
"""


def runtime_image_name(bundle: Bundle | None = None) -> str:
    """What the image of a runtime (this machine's by default) is called without a registry."""
    return f"{_REPOSITORY}:{(bundle or Bundle.own()).digest[:_DIGITS]}"


def make_runtime_image(
    name: str = "",
    *,
    push: bool = False,
    bundle: Bundle | None = None,
    engine_of: EngineOf = docker_engine,
) -> Built:
    """Have the image in the container engine, and with `push` in the registry of its name.

    An image that is there already is kept; without a `name` it is `runtime_image_name`. Raises
    what `docker_engine` and its engine raise.
    """
    chosen = bundle or Bundle.own()
    target = Reference.parse(name or runtime_image_name(chosen))
    engine = engine_of()
    try:
        found = engine.find(target)
        digest = engine.has(target)
        if found is None or found[1].get(_LABEL) != chosen.digest:
            folder = chosen.folder()
            labels = {_LABEL: chosen.digest}
            digest = engine.pack(target, folder, runtime_entry(folder), labels)
        if push:
            digest = engine.push(target, docker_credentials(target.registry))
    finally:
        engine.close()
    return Built(target, digest)


def runtime_entry(folder: Path) -> list[str]:
    """The program of the image of a runtime folder; its argument is the folder to fill."""
    loader = next(folder.glob("lib/ld-*"))
    python = next(folder.glob("bin/python3*"))
    libraries = f"{_PLACE}/lib"
    start = [f"{libraries}/{loader.name}", "--library-path", libraries]
    return [*start, f"{_PLACE}/bin/{python.name}", "-I", "-S", "-B", "-X", "utf8", "-c", _COPY]
