"""A service on a real object store, and the ways to run the supervisor on it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.events import Event, decode, minio_record
from bridge.secret import Secret
from bridge.supervisor import (
    Report,
    ServiceConfig,
    StoreFactory,
    parse_service,
    run_job,
    stores_for,
)
from tests.servers import ObjectStore

MARK = "BRIDGE_TEST_MARK"


@dataclass
class World:
    """One bucket with a service that reads `in/` and writes `out/`; work happens under `folder`."""

    server: ObjectStore
    bucket: str
    folder: Path
    document: dict[str, Any] = field(default_factory=dict)
    log: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.document = {
            "name": "svc",
            "input": [{"storage_provider": "minio", "path": f"{self.bucket}/in"}],
            "output": [{"storage_provider": "minio", "path": f"{self.bucket}/out"}],
            "storage_providers": {"minio": {"default": {"endpoint": self.server.endpoint}}},
        }
        self.base.mkdir()
        secrets = self.folder / "secrets" / "minio.default"
        secrets.mkdir(parents=True)
        (secrets / "accessKey").write_text(self.server.access_key + "\n")
        (secrets / "secretKey").write_text(self.server.secret_key)

    @property
    def base(self) -> Path:
        """Where jobs make their work folders; empty between jobs."""
        return self.folder / "base"

    @property
    def secrets(self) -> Path:
        """The folder of credentials."""
        return self.folder / "secrets"

    def upload(self, key: str, content: bytes = b"content") -> None:
        """Put an object, by a client that is not ours."""
        self.server.client().put_object(self.bucket, key, io.BytesIO(content), len(content))

    def objects(self, prefix: str = "out/") -> dict[str, bytes]:
        """What is stored under a prefix, by a client that is not ours."""
        client = self.server.client()
        return {
            entry.object_name: client.get_object(self.bucket, entry.object_name).read()
            for entry in client.list_objects(self.bucket, prefix, recursive=True)
            if entry.object_name
        }

    def record(self, key: str) -> dict[str, Any]:
        """The event that MinIO sends for a key."""
        return minio_record(self.bucket, key, time="2026-11-22T10:00:00.000Z")

    def event(self, key: str) -> Event:
        """The same, decoded."""
        (event,) = decode(self.record(key))
        return event

    def service(self, script: str | bytes | None) -> ServiceConfig:
        """The service as the supervisor reads it."""
        text = script.encode() if isinstance(script, str) else script
        return parse_service(self.document).with_script(text)

    def stores(self) -> StoreFactory:
        """Its stores, with credentials that work."""
        known = {name: Secret(value) for name, value in self.server.secrets.items()}
        return stores_for(parse_service(self.document), lambda _: known)

    def run(self, script: str | bytes | None, event: Event | str, **options: Any) -> Report:
        """Run one job in this process; its log is in `log`."""
        found = self.event(event) if isinstance(event, str) else event
        given: dict[str, Any] = {"stores": self.stores(), "base": str(self.base), "log": self.take}
        report = run_job(self.service(script), found, **given | options)
        assert list(self.base.iterdir()) == [], "the work folder was not removed"
        return report

    def take(self, block: bytes) -> None:
        """The log of jobs in this process."""
        self.log += block

    def files(self, script: str | None) -> dict[str, str]:
        """The service, script and credentials as files, in the job contract's variables."""
        (self.folder / "service.json").write_text(json.dumps(self.document))
        variables = {
            "BRIDGE_SERVICE_FILE": str(self.folder / "service.json"),
            "BRIDGE_SECRETS_DIR": str(self.secrets),
            "BRIDGE_WORK_DIR": str(self.base),
        }
        if script is not None:
            (self.folder / "script.sh").write_text(script, newline="")
            variables["BRIDGE_SCRIPT_FILE"] = str(self.folder / "script.sh")
        return variables

    def command(
        self, script: str | None, variables: Mapping[str, str], *arguments: str
    ) -> subprocess.Popen[bytes]:
        """Start the one-shot entry in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "bridge.supervisor", *arguments],
            env=clean_environment() | self.files(script) | dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def once(
        self, script: str | None, event: object = None, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the one-shot entry to its end; `event` is its EVENT when it is not None."""
        if event is not None:
            variables["EVENT"] = event if isinstance(event, str) else json.dumps(event)
        process = self.command(script, variables, *arguments)
        out, err = process.communicate(timeout=120)
        assert list(self.base.iterdir()) == [], "the work folder was not removed"
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def clean_environment() -> dict[str, str]:
    """This environment without AWS's variables and without ours."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BRIDGE_"))}


def processes_with(mark: str) -> list[str]:
    """Command lines of all processes that have BRIDGE_TEST_MARK=<mark> in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and f"{MARK}={mark}".encode() in _fields(folder / "environ"):
                found.append(" ".join(f.decode() for f in _fields(folder / "cmdline")))
    return found


def peak_memory(pid: int) -> int:
    """The most resident bytes that a running process has had; 0 when it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _fields(path: Path) -> Sequence[bytes]:
    return path.read_bytes().split(b"\0")
