"""What tests with a container engine share: the engine, local images, one runtime folder."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge import runtime


@dataclass(frozen=True, slots=True)
class Engine:
    """The Docker engine that the docker command reaches."""

    command: str

    def run(
        self, image: str, arguments: Sequence[str | Path], *options: str, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """`docker run --rm` without a network."""
        command = [self.command, "run", "--rm", "-i", "--network", "none", *options, image]
        return subprocess.run(
            [*command, *arguments],
            input=stdin,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine; the test is skipped when none answers."""
    command = shutil.which("docker")
    if command is None:
        pytest.skip("the docker command is not on this machine")
    answer = subprocess.run([command, "version"], check=False, capture_output=True, text=True)
    if answer.returncode:
        pytest.skip(f"no Docker engine answers: {answer.stderr.strip().splitlines()[-1]}")
    return Engine(command)


@pytest.fixture(scope="session")
def image(engine: Engine) -> Callable[[str], str]:
    """Full name of a local base image; the test is skipped when it was not built."""

    def named(name: str) -> str:
        full = f"oscar-bridge/{name}:local"
        command = [engine.command, "image", "inspect", full]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip(f"the image {full} is not here: run tools/base-images.sh")
        return full

    return named


@pytest.fixture(scope="session")
def runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime folder, built once."""
    return runtime.build(tmp_path_factory.mktemp("runtime") / "bridge")
