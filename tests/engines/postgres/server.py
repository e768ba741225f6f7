"""A PostgreSQL server of the tests' own, from the binaries of Debian's package `postgresql`."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from bridge.dispatch.postgres import Postgres
from bridge.secret import Secret

# Of characters that a URL must escape.
PASSWORD = "sécret/@:%pass"
_USER = "postgres"
_READY_SECONDS = 30.0
# Nobody pulls the plug here, and a flush to the disk is most of a test's time.
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60")


@dataclass(frozen=True, slots=True)
class Server:
    """Reached by its socket in `folder`."""

    folder: Path

    def url(self, schema: str = "public") -> str:
        """For a place of its own in the server's only database."""
        options = quote(f"-csearch_path={schema}")
        user = f"{_USER}:{quote(PASSWORD, safe='')}"
        return f"postgresql://{user}@/postgres?host={quote(str(self.folder))}&options={options}"

    def schema(self) -> str:
        """Make a schema; its name."""
        name = f"t{secrets.token_hex(6)}"
        self.do(f"CREATE SCHEMA {name}")
        return name

    def database(self, schema: str = "") -> Postgres:
        """The schema as a store takes it, a new one by default."""
        return Postgres(Secret(self.url(schema or self.schema())))

    def do(self, statement: str) -> list[tuple[object, ...]]:
        """One statement of an administrator; its rows."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def cut(self) -> int:
        """End every session but this one, as when the server is restarted; how many."""
        return len(
            self.do(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    program = shutil.which("postgres")
    if not found and program is None:
        pytest.skip("there is no PostgreSQL server here (Debian's package postgresql)")
    return found[-1].parent if found else Path(str(program)).parent


def _as_user() -> list[str]:
    """PostgreSQL refuses to be root."""
    if os.geteuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL does not run as root, and there is no setpriv to change the user")
    ids = ["--reuid", _USER, "--regid", _USER, "--clear-groups"]
    return ["setpriv", *ids, "--pdeathsig", "KILL", "--"]


@contextlib.contextmanager
def postgres() -> Iterator[Server]:
    """A server that is gone when the block ends; skips the test where there is none."""
    binaries, user = _binaries(), _as_user()
    folder = Path(tempfile.mkdtemp(prefix="bridge-pg-"))
    try:
        (folder / "password").write_text(f"{PASSWORD}\n")
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, _USER, _USER)
        told = ["-U", _USER, "-A", "scram-sha-256", "--pwfile", f"{folder}/password", "-E", "UTF8"]
        make = [f"{binaries}/initdb", "-D", f"{folder}/data", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run([*user, *make, *told], check=True, capture_output=True, cwd=folder)
        with _running([*user, f"{binaries}/postgres", "-D", f"{folder}/data"], folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(command: list[str], folder: Path) -> Iterator[Server]:
    settings = [word for one in _FAST for word in ("-c", one)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-k", str(folder), "-c", "listen_addresses=", *settings],
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    server = Server(folder)
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while not _answers(server):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}")
            time.sleep(0.02)
        yield server
    finally:
        process.send_signal(3)  # SIGQUIT: at once
        process.wait()


def _answers(server: Server) -> bool:
    try:
        return bool(server.do("SELECT 1"))
    except psycopg.OperationalError:
        return False
