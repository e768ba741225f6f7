"""The Infrastructure Manager as a real server, and stand-ins for the types of GRyCAP."""

from __future__ import annotations

import fcntl
import functools
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.operate.infrastructure import our_template

HERE = Path(__file__).parent
_READY_SECONDS = 60.0
# IM 2.0.0 and what its server loads: of Ansible, the core is enough to make machines.
_PACKAGES = (
    "im==2.0.0",
    "RADL",
    "ansible-core",
    "defusedxml",
    "fastapi",
    "hvac",
    "lxml",
    "netaddr",
    "packaging",
    "paramiko",
    "psutil",
    "python-multipart",
    "requests",
    "requests-cache",
    "scp",
    "suds-community",
    "tosca-parser",
    "uvicorn",
    "xmltodict",
)


@dataclass(frozen=True, slots=True)
class Im:
    """A running IM: its URL, a file with credentials, a template that it can read here."""

    url: str
    auth: Path
    template: Path
    log: Path


@pytest.fixture(scope="session")
def im_python() -> str:
    """A Python with IM; made once per machine, the test is skipped where it cannot be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "oscar-bridge"
    folder = cache / f"im-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "im.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "packages").exists() and (folder / "packages").read_text() == str(_PACKAGES):
            return str(python)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for packages in (["--no-deps", _PACKAGES[0]], _PACKAGES[1:]):
            done = subprocess.run([*pip, *packages], check=False, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"IM cannot be installed: {done.stderr.strip().splitlines()[-1]}")
        (folder / "packages").write_text(str(_PACKAGES))
    return str(python)


@pytest.fixture(scope="session")
def types_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the stand-ins for GRyCAP's types are: the real ones are on GitHub."""
    folder = shutil.copytree(HERE / "tosca", tmp_path_factory.mktemp("types") / "tosca")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        types = folder / "types.yaml"
        types.write_text(types.read_text().replace("TYPES_URL", url))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield url
        server.shutdown()


@pytest.fixture(scope="session")
def im(im_python: str, types_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Im]:
    """IM with one user, whose cloud is IM's dummy connector: machines that are only remembered."""
    folder = tmp_path_factory.mktemp("im")
    users = {"users": [{"username": "tester", "password": "let me in"}]}
    (folder / "users.json").write_text(json.dumps(users))
    auth = folder / "auth"
    auth.write_text(
        "# who I am, and where machines come from\n"
        "type = InfrastructureManager; username = tester; password = 'let me in'\n"
        "id = nowhere; type = Dummy\n"
    )
    template = folder / "template.yaml"
    template.write_text(
        re.sub(r"https://raw\.\S+custom_types", f"{types_url}/types", our_template())
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "server.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [im_python, HERE / "im_server.py", str(port), folder],
            stdout=out,
            stderr=out,
            cwd=folder,
        )
    try:
        _wait(f"http://127.0.0.1:{port}/version", server, log)
        yield Im(f"http://127.0.0.1:{port}", auth, template, folder / "im.log")
    finally:
        server.kill()
        server.wait()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _READY_SECONDS
    while server.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"IM did not start:\n{log.read_text()[-2000:]}")
