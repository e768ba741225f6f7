"""What the builders of services share: the log, what is defined elsewhere in the file, scripts."""

from __future__ import annotations

from collections.abc import Callable

from bridge.fdl._records import Section
from bridge.fdl._tree import Log
from bridge.fdl.model import ProviderRef, Service


class Context:
    """One parse. `providers`, `clusters` and `targets` are the names that the file defines."""

    def __init__(self, log: Log, read_script: Callable[[str], str] | None) -> None:
        self.log = log
        self.read_script = read_script
        self.providers: frozenset[ProviderRef] = frozenset()
        self.clusters: frozenset[str] = frozenset()
        self.targets: frozenset[str] = frozenset()
        self._scripts: dict[str, str | None] = {}
        self._reasons: dict[str, str] = {}

    def script(self, section: Section, name: str) -> tuple[str, str | None]:
        """The script's path as written and its text with LF ends; a problem when unreadable."""
        path = str(section.get(name) or "")
        if not path or self.read_script is None:
            return path, None
        if path not in self._scripts:
            self._scripts[path] = self._read(path)
        if path in self._reasons:
            message = f"the script {path!r} cannot be read: {self._reasons[path]}"
            hint = "the path is relative to the FDL file's folder"
            self.log.at(section.place(name), message, hint)
        return path, self._scripts[path]

    def _read(self, path: str) -> str | None:
        assert self.read_script is not None
        try:
            return self.read_script(path).replace("\r\n", "\n")
        except UnicodeError:
            self._reasons[path] = "it is not UTF-8 text"
        except (OSError, ValueError) as error:
            self._reasons[path] = getattr(error, "strerror", None) or str(error) or "unknown reason"
        return None


class Built:
    """A service with the place of its name, for the checks over all services."""

    __slots__ = ("region", "section", "service")

    def __init__(self, service: Service, section: Section, region: str = "") -> None:
        self.service = service
        self.section = section
        self.region = region
