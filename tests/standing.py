"""`oscar-bridge up` as a real process, and the stock CDK CLI against it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.command import COMMAND, ROOT, Done, environment

_READY = 120.0


@dataclass(frozen=True, slots=True)
class Up:
    """A running `oscar-bridge up`: its process and what it printed."""

    process: subprocess.Popen[str]
    variables: Mapping[str, str]

    def client(self, service: str) -> Any:
        """A boto3 client of its AWS endpoint."""
        return boto3.client(
            service,
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            region_name=self.variables["AWS_REGION"],
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Interrupt it; its exit status and what it said."""
        self.process.send_signal(number)
        return self.process.wait(60), ""


@contextmanager
def up(folder: Path, *more: str, engine: str = "process") -> Iterator[Up]:
    """The command for as long as the block lasts; nothing of it is left in `folder`/tmp."""
    tmp = folder / "up-tmp"
    tmp.mkdir()
    process = subprocess.Popen(
        # Whoever runs the tests in the background may have us ignore Ctrl-C; a user does not.
        ["env", "--default-signal", COMMAND, "up", "--json", "--engine", engine, *more],
        stdout=subprocess.PIPE,
        stderr=(folder / "up.err").open("w"),
        text=True,
        env=environment(TMPDIR=str(tmp)),
    )
    try:
        yield Up(process, _variables(process, folder / "up.err"))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()
    assert list(tmp.iterdir()) == []


def _variables(process: subprocess.Popen[str], errors: Path) -> dict[str, str]:
    assert process.stdout is not None
    watch = threading.Timer(_READY, process.kill)
    watch.start()
    text = ""
    try:
        while line := process.stdout.readline():
            text += line
            if line.startswith("}"):
                return json.loads(text)
    finally:
        watch.cancel()
    raise AssertionError(f"up ended with {process.wait()}: {errors.read_text()}")


def why_no_npm() -> str:
    """Why programs of npm, the CDK CLI among them, cannot be run here, or ""."""
    return next((f"{one} is not installed" for one in ("node", "npm") if not shutil.which(one)), "")


def npm_modules() -> Path:
    """What package.json names: in the project's folder, else in the user's cache, made once."""
    own = ROOT / "node_modules"
    if own.exists():
        return own
    digest = hashlib.sha256((ROOT / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "oscar-bridge"
    place = cache / f"npm-{digest}"
    if not place.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(ROOT / name, fresh)
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=fresh, check=True)
            try:
                Path(fresh).rename(place)
                Path(fresh).mkdir()
            except OSError:  # somebody else was faster
                if not place.exists():
                    raise
    return place / "node_modules"


@dataclass(frozen=True, slots=True)
class Cdk:
    """The stock CLI, with caches of its own for what it knows of accounts."""

    home: Path
    variables: Mapping[str, str]

    def __call__(self, *words: str, cwd: Path, timeout: float = 280, **env: str) -> Done:
        """Run it to its end."""
        done = subprocess.run(
            [npm_modules() / ".bin" / "cdk", "--no-notices", "--no-color", *words],
            check=False,
            capture_output=True,
            text=True,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            env=environment(**self._environment(), **env),
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def _environment(self) -> dict[str, str]:
        self.home.mkdir(exist_ok=True)
        return {
            **self.variables,
            "CDK_HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CDK_DISABLE_CLI_TELEMETRY": "1",
            "CDK_VALIDATION": "false",
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
        }
