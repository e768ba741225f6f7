"""A runtime that can be laid on images: its digest, its architecture, and the folder."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge import runtime
from bridge.errors import PermanentError, UsageError

_ARCHES: Final = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "amd64": "amd64"}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A runtime by its digest. `given` is a folder made elsewhere; None means this machine's own,
    which is built only when it is needed."""

    digest: str
    arch: str
    given: Path | None = None

    @classmethod
    def own(cls) -> Bundle:
        """The runtime of this machine and this version. See `bridge.runtime.digest`."""
        return cls(runtime.digest(), arch_of(platform.machine()))

    @classmethod
    def of(cls, folder: Path) -> Bundle:
        """A folder that `oscar-bridge runtime build` made, here or on another machine."""
        try:
            facts = json.loads((folder / "runtime.json").read_text())
            return cls(facts["digest"], arch_of(facts["machine"]), folder)
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(
                f"{folder} is not a runtime folder: it has no readable runtime.json",
                hint=f"make one with: oscar-bridge runtime build --output {folder}",
            ) from error

    def folder(self) -> Path:
        """The folder itself, built in the cache when it is ours and not there yet.

        PermanentError when what is installed here has changed since the digest was taken.
        """
        folder = self.given or runtime.cached()
        if Bundle.of(folder).digest != self.digest:
            raise PermanentError(
                f"the runtime is not {self.digest[:12]} any more", hint="try again"
            )
        return folder


def arch_of(machine: str) -> str:
    """The architecture as images name it."""
    return _ARCHES.get(machine, machine)
