"""The files that a service and a job are made of on this machine, and where they stand.

services/<service>/<n>/    config/service.json, config/script.sh, secrets/<provider>/<field>
jobs/<job>/<attempt>/      event/event.json, report/report.json, log
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.errors import UnsafePathError
from bridge.events import delegated
from bridge.fdl.model import ProviderRef, Service
from bridge.secret import Secret
from bridge.targets.protocol import Job
from bridge.targets.render import ProviderAccess, service_document, used_access

# Script variables that are secret stand among the providers' credentials, under this name.
_ENVIRONMENT: Final = "environment"


@dataclass(frozen=True, slots=True)
class ServiceFiles:
    """A deployed service."""

    service: Service
    folder: Path

    @property
    def config(self) -> Path:
        """Folder of the document and the script."""
        return self.folder / "config"

    @property
    def document(self) -> Path:
        """The service's JSON."""
        return self.config / "service.json"

    @property
    def script(self) -> Path:
        """The user's script; may be absent."""
        return self.config / "script.sh"

    @property
    def secrets(self) -> Path:
        """Folder of one file per credential."""
        return self.folder / "secrets"


@dataclass(frozen=True, slots=True)
class JobFiles:
    """One attempt of one job. `event` has the delegated form, the report will be at `report`."""

    folder: Path
    event: dict[str, Any]
    report: Path

    @property
    def event_file(self) -> Path:
        """The event, for a container."""
        return self.folder / "event" / "event.json"

    @property
    def log(self) -> Path:
        """What the script and the supervisor said."""
        return self.folder / "log"

    def read_report(self) -> dict[str, Any] | None:
        """The report, None when there is none or it was cut."""
        try:
            report = json.loads(self.report.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return report if isinstance(report, dict) else None

    def lines(self) -> Iterator[str]:
        """Lines of the log so far; none when there is no log."""
        try:
            with self.log.open(errors="replace", newline="\n") as source:
                for line in source:
                    yield line.removesuffix("\n").removesuffix("\r")
        except FileNotFoundError:
            return


def write_service(
    folder: Path, service: Service, access: Mapping[ProviderRef, ProviderAccess], *, shared: bool
) -> ServiceFiles:
    """Write all files of a service into a new folder, or nothing.

    Credentials are 0600 in folders of 0700. `shared` opens them for reading, for the unknown user
    of a container; the folders above, which are not in the container, keep others of this machine
    out.
    """
    files = ServiceFiles(service, folder)
    try:
        files.config.mkdir(parents=True)
        files.document.write_text(json.dumps(service_document(service, access), sort_keys=True))
        if service.script_text is not None:
            files.script.write_text(service.script_text, newline="\n")
            files.script.chmod(0o755)
        _write_secrets(files.secrets, _secrets(service, access), shared)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return files


def write_job(folder: Path, job: Job, *, shared: bool) -> JobFiles:
    """Make the folder of one attempt.

    `shared` is for a container: the event is a file, and any user may write into the report's
    folder.
    """
    event = delegated(job.event, job.event.provider, job.id, job.attempt, job.trace)
    folder.mkdir(parents=True)
    if not shared:
        return JobFiles(folder, event, folder / "report.json")
    files = JobFiles(folder, event, folder / "report" / "report.json")
    files.report.parent.mkdir()
    files.report.parent.chmod(0o777)
    files.event_file.parent.mkdir()
    files.event_file.write_text(json.dumps(event))
    return files


def _secrets(
    service: Service, access: Mapping[ProviderRef, ProviderAccess]
) -> dict[str, Mapping[str, Secret]]:
    used = used_access(service, access)
    found = {str(ref): one.secrets for ref, one in used.items() if one.secrets}
    return found | ({_ENVIRONMENT: service.secrets} if service.secrets else {})


def _write_secrets(folder: Path, secrets: Mapping[str, Mapping[str, Secret]], shared: bool) -> None:
    folder_mode, file_mode = (0o755, 0o644) if shared else (0o700, 0o600)
    folder.mkdir(mode=0o700)
    for group, values in secrets.items():
        place = folder / safe_name(group)
        place.mkdir(mode=0o700)
        for name, secret in values.items():
            _write_secret(place / safe_name(name), secret, file_mode)
        place.chmod(folder_mode)
    folder.chmod(folder_mode)


def _write_secret(path: Path, secret: Secret, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", newline="") as target:
        target.write(secret.reveal())
    path.chmod(mode)


def safe_name(name: str) -> str:
    """The name, when it is one file's name; UnsafePathError when it would lead elsewhere."""
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise UnsafePathError(f"{name!r} cannot be the name of a file")
    return name
