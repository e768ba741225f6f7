"""Starts the AWS endpoint as a child of this process."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bridge.errors import MissingToolError, PermanentError, TemporaryError
from bridge.local.aws._service import ACCESS_KEY, REGION, SECRET_KEY
from bridge.local.aws.model import Place, Scope, Settings
from bridge.local.children import Child, start_child
from bridge.secret import Secret

__all__ = ["AwsEndpoint"]

_NEEDED: Final = ("boto3", "ministack")
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
_KEY_BYTES: Final = 20


class AwsEndpoint:
    """An AWS API on this machine whose Lambda image functions and Batch jobs really run.

    `folder` is for its files and is removed with them by `stop`; only its log, by default beside
    it, stays. `port` is 0 for any free one. `engine` is `process` or `container`; containers need
    `address` to be the engine's bridge and get `runtime` as /opt/bridge. The keys are made here and
    only who has them is served. It ends with this process, however that ends, and leaves no
    process, container or file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        engine: str = "process",
        session: str = "",
        address: str = "127.0.0.1",
        port: int = 0,
        runtime: Path | None = None,
        settings: Settings | None = None,
        log: Path | None = None,
    ) -> None:
        self._folder = folder
        self._engine = engine
        # Not the caller's own name: when the endpoint ends, it must not end the caller's tasks.
        self._session = f"{session or secrets.token_hex(6)}-aws"
        self._address = address
        self._port = port
        self._log = log or folder.with_name(f"{folder.name}.log")
        self._runtime = runtime
        self._settings = settings or Settings()
        self._place = Place("", "AKIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30))
        self._child: Child | None = None
        self._url = ""
        self._account = ""

    @property
    def url(self) -> str:
        """Where clients on this machine reach it; "" before `start`."""
        return self._url

    @property
    def container_url(self) -> str:
        """Where containers reach it, when it listens on the container bridge."""
        return self._url

    @property
    def account(self) -> str:
        """The account id that it answers with; "" before `start`."""
        return self._account

    @property
    def log(self) -> Path:
        """Its log file."""
        return self._log

    @property
    def alive(self) -> bool:
        """True while its process runs."""
        return self._child is not None and self._child.alive

    def environment(self) -> dict[str, str]:
        """What an AWS SDK or CLI needs to use it; holds the secret key."""
        place = Place(self._url, self._place.access_key, self._place.secret_key)
        return place.environment(Scope(self._account, REGION))

    def start(self, timeout: float = 60.0) -> None:
        """Start it and wait until it answers.

        MissingToolError when a package is absent, PermanentError when it ends at once,
        TemporaryError after `timeout` seconds; the last two with the end of its log.
        """
        for package in _NEEDED:
            if importlib.util.find_spec(package) is None:
                raise MissingToolError(
                    f"the Python package `{package}` is not installed",
                    hint="pip install 'oscar-bridge[local]'",
                )
        self._folder.mkdir(parents=True, exist_ok=True)
        self._child = child = self._launch()
        try:
            ready = json.loads(_first_line(child, timeout))
        except BaseException:
            self.stop()
            raise
        self._url, self._account = ready["endpoint"], ready["account"]

    def stop(self) -> None:
        """End it with all that it runs; no error when it is not running."""
        child, self._child = self._child, None
        if child is not None:
            child.stop(grace=self._settings.grace + 15.0)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _launch(self) -> Child:
        words = ["--host", self._address, "--port", str(self._port), "--engine", self._engine]
        words += ["--session", self._session]
        words += ["--folder", str(self._folder), "--settings", json.dumps(asdict(self._settings))]
        if self._runtime is not None:
            words += ["--runtime", str(self._runtime)]
        kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        kept |= {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
        return start_child(
            "the local AWS endpoint",
            [sys.executable, "-P", "-m", __package__, *words],
            self.log,
            env=kept,
            secret_env={
                ACCESS_KEY: Secret(self._place.access_key),
                SECRET_KEY: Secret(self._place.secret_key),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            death_signal=signal.SIGTERM,
        )


def _first_line(child: Child, timeout: float) -> bytes:
    """What it says when it is ready."""
    out = child.process.stdout
    assert out is not None
    ready, _, _ = select.select([out], [], [], timeout)
    if ready and (line := out.readline()):
        return line
    tail = child.tail()
    said = f"; the end of {child.log}:\n{tail}" if tail else "; its log is empty"
    if ready:
        raise PermanentError(f"{child.name} ended at once{said}")
    raise TemporaryError(f"{child.name} was not ready after {timeout:g} seconds{said}")
