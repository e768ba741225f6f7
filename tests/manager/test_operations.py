"""What operators of a manager have: settings and their origins, backups, logs, a systemd unit."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from bridge.dispatch import SqliteStore
from bridge.errors import PermanentError, UsageError
from manager._logs import set_up
from manager.backup import backup, restore
from manager.configuration import DEFAULTS, SECRET, configuration, origins
from manager.store import ServiceStore
from tests.cli.test_clusters import inside
from tests.command import ROOT, bridge
from tests.dispatch.world import new_job
from tests.waiting import eventually

from .conftest import Live

READ = re.compile(
    r"""(?:read(?:er)?\.|_read\.|Reader\(\w+\)\.|environment\.)"""
    r"""(text|required|words|whole|flag|get)\(\s*"([A-Z_]+)"(?:, (?:default=)?([^)]*?))?\s*\)"""
)
HIDDEN_WORD = "a-word-that-is-not-shown"


def test_every_setting_that_is_read_is_listed_with_its_default() -> None:
    seen = {}
    for path in (ROOT / "manager").glob("*.py"):
        for kind, name, default in READ.findall(path.read_text()):
            seen.setdefault(name, (kind, default))
    assert seen.keys() <= DEFAULTS.keys()
    for name, (kind, default) in seen.items():
        if kind == "flag":
            assert DEFAULTS[name] == default.lower()
        elif kind == "whole" and default != "_PORT":
            assert int(DEFAULTS[name]) == int(default)
        elif kind == "text" and default.startswith('"') and default != '""':
            assert DEFAULTS[name] == default.strip('"')
    assert DEFAULTS.keys() >= SECRET


def test_a_setting_says_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "manager.toml"
    file.write_text(
        f'OSCAR_NAME = "of-the-file"\nOSCAR_PASSWORD = "{HIDDEN_WORD}"\nREAD_TIMEOUT = 12\n'
        'OIDC_ENABLE = true\nOIDC_GROUPS = ["a", "b"]\nOSCAR_NAMESPACE = "of-the-file"\n'
    )
    told = {"BRIDGE_CONFIG": str(file), "OSCAR_NAME": "", "OSCAR_NAMESPACE": "said"}
    found = {one.name: (one.value, one.origin) for one in origins(told)}
    assert found["OSCAR_NAME"] == ("of-the-file", str(file))
    assert found["OSCAR_NAMESPACE"] == ("said", "environment")
    assert found["OIDC_GROUPS"] == ("a,b", str(file))
    assert found["OSCAR_SERVICE_PORT"] == ("8080", "default")
    given = configuration(told)
    assert (given["READ_TIMEOUT"], given["OIDC_ENABLE"]) == ("12", "true")
    assert given["OSCAR_PASSWORD"] == HIDDEN_WORD

    done = inside(tmp_path, told, "config", "show", "--origin")
    assert done.status == 0 and HIDDEN_WORD not in done.said
    assert re.search(rf"OSCAR_NAME +of-the-file +{re.escape(str(file))}", done.out)
    shown = inside(tmp_path, told, "config", "show", "--json").json
    assert shown["OSCAR_NAME"] == {"value": "of-the-file"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("OSCAR_NAMES = 'x'", "is OSCAR_NAME meant?"),
        ("OSCAR_NAME = {}", "must be text"),
        ("OSCAR_NAME = [1]", "must be text"),
        (f"OSCAR_PASSWORD = {HIDDEN_WORD}", "is not TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m.toml").write_text(text)
    done = inside(tmp_path, {}, "config", "show", "--file", "m.toml")
    assert said in done.failed(2) and HIDDEN_WORD not in done.said
    with pytest.raises(UsageError, match="cannot read"):
        configuration({"BRIDGE_CONFIG": str(tmp_path / "absent.toml")})


def test_a_backup_of_a_manager_at_work_is_whole(live: Live, tmp_path: Path) -> None:
    name = live.create(input=[{"storage_provider": "minio", "path": "saved/in"}], script="true")
    folder = live.manager.parts.jobs.path.parent  # type: ignore[attr-defined]
    file = tmp_path / "state.backup"
    acknowledged: list[str] = []
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            answer = live.ask("POST", f"/job/{name}", b"x")
            assert answer.status == 201
            acknowledged.append(name)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert eventually(lambda: len(acknowledged) > 5)
        before = len(acknowledged)
        assert bridge("backup", file, "--state", folder).status == 0
    finally:
        over.set()
        worker.join()
    assert file.stat().st_mode & 0o077 == 0
    back = tmp_path / "back"
    done = bridge("restore", file, "--state", back)
    assert done.status == 0 and "the state of" in done.err
    # What keeps it secret is not in it.
    with pytest.raises(PermanentError, match=r"state\.key is missing"):
        ServiceStore(back / "manager.sqlite")
    shutil.copy(folder / "state.key", back)
    with ServiceStore(back / "manager.sqlite") as state, SqliteStore(back / "jobs.sqlite") as jobs:
        assert name in [row.name for row in state.services()]
        found = jobs.jobs(service=name, limit=10_000)
    assert before <= len(found) <= len(acknowledged)
    assert "holds state already" in bridge("restore", file, "--state", back).failed(2)
    assert "no state of a manager" in bridge("backup", file, "--state", tmp_path).failed(2)


def test_a_backup_that_was_damaged_leaves_nothing(tmp_path: Path) -> None:
    folder, file = tmp_path / "state", tmp_path / "saved"
    folder.mkdir()
    with SqliteStore(folder / "jobs.sqlite") as jobs, ServiceStore(folder / "manager.sqlite"):
        jobs.accept([new_job("in/a")], 0.0)
        backup(folder, file)
    unpacked = tmp_path / "unpacked"
    with tarfile.open(file) as archive:
        archive.extractall(unpacked, filter="data")
    with (unpacked / "jobs.sqlite").open("r+b") as content:
        content.seek(200)
        content.write(b"other")
    (tmp_path / "changed").touch()
    with tarfile.open(tmp_path / "changed", "w:gz") as archive:
        for one in sorted(unpacked.iterdir()):
            archive.add(one, one.name)
    (tmp_path / "short").write_bytes(file.read_bytes()[:-200])
    (tmp_path / "text").write_text("no backup")
    wrong = {"changed": "damaged", "short": "not a whole backup", "text": "not a whole backup"}
    for name, said in wrong.items():
        with pytest.raises((PermanentError, UsageError), match=said):
            restore(tmp_path / name, tmp_path / "back")
        assert list((tmp_path / "back").iterdir()) == []
    restore(file, tmp_path / "back")
    with SqliteStore(tmp_path / "back" / "jobs.sqlite") as jobs:
        assert [one.event.key for one in jobs.jobs()] == ["in/a"]


LOGS = """
import logging
from manager._logs import set_up
set_up("json")
logging.getLogger("manager").info("%s of\\n%s", 1, "two")
try:
    raise ValueError("three")
except ValueError:
    logging.getLogger("x").exception("four")
"""


def test_logs_are_json_where_that_is_wanted() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOGS], capture_output=True, text=True, check=True, cwd=ROOT
    )
    first, second = (json.loads(line) for line in done.stderr.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {"level": "info", "logger": "manager", "message": "1 of\ntwo"}
    assert second["level"] == "error" and "ValueError: three" in second["exception"]
    kept = logging.getLogger().handlers
    with pytest.raises(UsageError, match="no form of a log"):
        set_up("loud")
    assert logging.getLogger().handlers == kept


UNIT = ROOT / "deploy" / "systemd" / "oscar-bridge.service"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    # What it starts must be there for the check; it is nothing of the unit's own.
    text = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text())
    (tmp_path / UNIT.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / UNIT.name],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
