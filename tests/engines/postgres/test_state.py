"""The manager's services, buckets and settings in either database, and what managers owe each other
when they share it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.dispatch import SqlStore
from bridge.errors import PermanentError, TargetUnavailable, TemporaryError, UsageError
from bridge.fdl.model import TargetSpec
from bridge.secret import Secret
from manager.service import Deployed, deployed, read_source
from manager.sharing import Hands, Sharing, row_of
from manager.store import BucketRow, ServiceRow, ServiceStore
from manager.stores import open_stores
from tests.waiting import eventually

from .server import PASSWORD, Server

TARGETS = [TargetSpec("here", "local")]
KEY = Secret("the key of all managers on a database")
OLD = """
CREATE TABLE services (name TEXT PRIMARY KEY, source TEXT NOT NULL, token TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL, owner_name TEXT NOT NULL, created DOUBLE PRECISION NOT NULL);
CREATE TABLE buckets (name TEXT PRIMARY KEY, owner TEXT NOT NULL, visibility TEXT NOT NULL,
    allowed_users TEXT NOT NULL, service TEXT NOT NULL);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@pytest.fixture(params=["file", "server"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], ServiceStore]]:
    """Opens one place as often as it is called."""
    with ExitStack() as stack:
        if request.param == "file":
            place = tmp_path / "manager.sqlite"
            yield lambda: stack.enter_context(ServiceStore(place))
        else:
            server: Server = request.getfixturevalue("server")
            schema = server.schema()
            yield lambda: stack.enter_context(ServiceStore(server.database(schema), KEY))


def service(name: str = "one", **more: object) -> Deployed:
    body = {"name": name, "image": "busybox", "script": "true", **more}
    source = read_source(body)
    return read(
        ServiceRow(name, source, Secret(name * 8), "me", "My Self", 1000.25),
    )


def read(row: ServiceRow) -> Deployed:
    return deployed(
        row.source,
        TARGETS,
        token=row.token,
        owner=row.owner,
        owner_name=row.owner_name,
        created=row.created,
        shared=lambda provider: False,
    )


def test_what_is_put_is_there_when_it_is_opened_again(reopen: Callable[[], ServiceStore]) -> None:
    state = reopen()
    one = row_of(service(script="echo ü 'quoted' ? :name %s"))
    state.put_service(replace(one, owner="somebody"))
    state.put_service(one)
    state.put_service(row_of(service("another")))
    bucket = BucketRow("b", "me", "restricted", ("you", "she"), "one")
    state.put_bucket(replace(bucket, visibility="private"))
    state.put_bucket(bucket)
    state.put_setting("x", {"a": [1, None]})
    again = reopen()
    assert [row.name for row in again.services()] == ["another", "one"]
    assert again.services()[1] == one
    assert (again.bucket("b"), again.buckets()) == (bucket, {"b": bucket})
    assert (again.setting("x", 0), again.setting("y", 5)) == ({"a": [1, None]}, 5)
    again.remove_service("one")
    again.remove_bucket("b")
    assert [row.name for row in state.services()] == ["another"]
    assert state.bucket("b") is None


def test_the_version_is_another_after_each_change_of_a_service(
    reopen: Callable[[], ServiceStore],
) -> None:
    state, other = reopen(), reopen()
    seen = [state.version()]
    for change in (
        lambda: state.put_service(row_of(service())),
        lambda: other.put_service(row_of(service())),
        lambda: other.remove_service("one"),
    ):
        change()
        seen.append(state.version())
        assert other.version() == seen[-1]
    assert len(set(seen)) == 4
    other.put_bucket(BucketRow("b", "me"))
    assert state.version() == seen[-1]


def test_of_settings_that_are_made_at_once_one_is_kept(reopen: Callable[[], ServiceStore]) -> None:
    states = [reopen() for _ in range(4)]
    gate = threading.Barrier(4)

    def keep(number: int) -> int:
        gate.wait()
        found: int = states[number].kept_setting("token", number)
        return found

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(keep, range(4)))) == 1


def test_who_asks_at_once_has_his_turn(reopen: Callable[[], ServiceStore]) -> None:
    """For a bucket, for the last one of a quota, and to change a value."""
    stores = [reopen() for _ in range(4)]

    def ask(number: int) -> tuple[str, bool]:
        store = stores[number % 4]
        found = store.claim_bucket(BucketRow("one", f"user {number}"), 1)
        assert found is not None
        store.change_setting("sum", 0, lambda kept: kept + 1)
        return found.owner, store.claim_bucket(BucketRow(f"own {number}", "me"), 3) is not None

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(24)))
    assert len({owner for owner, _ in answers}) == 1
    assert sum(made for _, made in answers) == 3
    assert sum(row.owner == "me" for row in stores[0].buckets().values()) == 3
    assert stores[0].setting("sum", 0) == 24
    with pytest.raises(ValueError, match="no"):
        stores[0].change_setting("sum", 0, lambda _: int("no"))
    assert stores[1].setting("sum", 0) == 24


def filled(script: str) -> str:
    """A state of the first version with a service and a setting, all of it readable."""
    one = row_of(service(script=f"echo {script}"))
    row = (one.name, json.dumps(one.source), one.token.reveal(), "me", "My Self", "1000.25")
    values = ", ".join("'" + value.replace("'", "''") + "'" for value in row)
    rows = f"INSERT INTO services VALUES ({values}); INSERT INTO settings VALUES"
    return f"{OLD}{rows} ('webhook_token', '\"{script}\"'), ('services_version', '7')"


def test_a_file_of_the_first_version_is_sealed_when_it_is_opened(tmp_path: Path) -> None:
    path, key = tmp_path / "manager.sqlite", tmp_path / "state.key"
    script, one = "a-word-of-the-script", row_of(service(script="echo a-word-of-the-script"))
    with closing(sqlite3.connect(path)) as old:
        old.executescript(filled(script))
    for _ in range(2):
        with ServiceStore(path) as state:
            assert state.services() == [one]
            assert (state.setting("webhook_token", ""), state.version()) == (script, 7)
    assert key.stat().st_mode & 0o077 == 0
    held = b"".join(one.read_bytes() for one in tmp_path.iterdir() if one != key)
    assert hashlib.sha256(one.token.reveal().encode()).hexdigest().encode() in held
    for secret in (script, one.token.reveal(), key.read_text().strip()):
        assert secret.encode() not in held
    # Who has the database but not the key, or another one, has nothing, and nothing changes.
    for given, said in ((None, "is missing"), (KEY, "with another key"), (Secret("x"), "fewer")):
        key.rename(tmp_path / "away")
        with pytest.raises((PermanentError, UsageError), match=said):
            ServiceStore(path, given)
        assert not key.exists()
        (tmp_path / "away").rename(key)
    with ServiceStore(path, Secret(key.read_text().strip())) as state:
        assert state.services() == [one]
        # A row that was put under another name is not that service's.
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE services SET name = 'another'")
        assert [(row.name, row.source) for row in state.services()] == [("another", {})]


def test_a_database_of_the_first_version_is_sealed_with_the_key_of_all(server: Server) -> None:
    schema, one = server.schema(), row_of(service(script="echo x"))
    server.do(f"SET search_path = {schema}; {filled('x')}")
    with pytest.raises(UsageError, match="BRIDGE_STATE_KEY"):
        ServiceStore(server.database(schema))
    gate = threading.Barrier(2)

    def opened(_: int) -> list[ServiceRow]:
        gate.wait()
        with ServiceStore(server.database(schema), KEY) as state:
            return state.services()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(opened, range(2))) == [[one], [one]]
    with pytest.raises(PermanentError, match="with another key"):
        ServiceStore(server.database(schema), Secret(KEY.reveal()[::-1]))


def test_a_state_of_a_newer_program_is_left_alone(server: Server) -> None:
    schema = server.schema()
    ServiceStore(server.database(schema), KEY).close()
    server.do(f"INSERT INTO {schema}.manager_migrations VALUES (99, 'the future', 0)")
    with pytest.raises(PermanentError, match="version 99"):
        ServiceStore(server.database(schema), KEY)


# --- several managers ----------------------------------------------------------------------------


class Manager:
    """What `Sharing` needs of a manager; `done` is what it was told to do."""

    def __init__(self, state: ServiceStore) -> None:
        self.state = state
        self.services: Mapping[str, Deployed] = {}
        self.done: list[str] = []
        self.broken = ""
        self.sharing = Sharing(
            state, Hands(lambda: self.services, read, self.learn, self.install, self.forget)
        )
        self.services = self.sharing.kept()

    def learn(self, services: Mapping[str, Deployed]) -> None:
        self.services = services

    def install(self, one: Deployed) -> None:
        if self.broken == one.name:
            raise TargetUnavailable("not now")
        self.done.append(f"install {one.name}")

    def forget(self, one: Deployed) -> None:
        self.done.append(f"forget {one.name}")

    def put(self, one: Deployed) -> None:
        with self.sharing.change(), self.sharing.lock:
            self.state.put_service(row_of(one))
            self.services = {**self.services, one.name: one}

    def remove(self, name: str) -> None:
        with self.sharing.change(), self.sharing.lock:
            self.state.remove_service(name)
            self.services = {k: v for k, v in self.services.items() if k != name}


@pytest.fixture
def pair(server: Server) -> Iterator[tuple[Manager, Manager]]:
    schema = server.schema()
    with (
        ServiceStore(server.database(schema), KEY) as first,
        ServiceStore(server.database(schema), KEY) as second,
    ):
        yield Manager(first), Manager(second)


def test_a_manager_learns_what_another_changes(pair: tuple[Manager, Manager]) -> None:
    mine, other = pair
    kept, changed = service("kept"), service("changed")
    for one in (kept, changed, service("gone")):
        other.put(one)
    mine.sharing.refresh()
    mine.sharing.resume()
    assert mine.done == ["install changed", "install gone", "install kept"]
    same = mine.services["kept"]
    other.put(service("changed", script="false"))
    other.remove("gone")
    mine.sharing.refresh()
    assert mine.services["changed"].source["service"]["script"] == "false"
    assert mine.services["kept"] is same
    mine.done.clear()
    mine.sharing.resume()
    mine.sharing.resume()
    assert mine.done == ["forget gone", "install changed"]
    # Its own changes are no news to it.
    other.done.clear()
    other.sharing.refresh()
    other.sharing.resume()
    assert other.done == []


def test_a_service_that_was_made_again_is_not_let_go(pair: tuple[Manager, Manager]) -> None:
    mine, other = pair
    other.put(service())
    mine.sharing.refresh()
    mine.sharing.resume()
    other.remove("one")
    mine.sharing.refresh()
    other.put(service(script="false"))
    mine.sharing.resume()
    assert mine.done == ["install one", "install one"]


def test_a_service_is_made_runnable_before_its_job(pair: tuple[Manager, Manager]) -> None:
    mine, other = pair
    other.put(service())
    mine.broken = "one"
    with pytest.raises(TargetUnavailable):
        mine.sharing.prepare("one")
    mine.broken = ""
    mine.sharing.prepare("one")
    mine.sharing.prepare("one")
    mine.sharing.prepare("nobody's")
    assert mine.done == ["install one"]


def test_changes_do_not_meet(pair: tuple[Manager, Manager]) -> None:
    inside = Counting()

    def change(manager: Manager, number: int) -> None:
        with manager.sharing.change(), inside:
            assert len(manager.services) == len(manager.state.services())
            with manager.sharing.lock:
                one = service(f"s{number}")
                manager.state.put_service(row_of(one))
                manager.services = {**manager.services, one.name: one}

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(change, [*pair] * 6, range(12)))
    assert inside.most == 1
    for manager in pair:
        manager.sharing.refresh()
        assert len(manager.services) == 12


class Counting:
    """How many are within at once, at most."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def __enter__(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def __exit__(self, *error: object) -> None:
        self.now -= 1


def test_followers_hear_of_it_by_themselves(pair: tuple[Manager, Manager], server: Server) -> None:
    mine, other = pair
    mine.sharing.start()
    try:
        server.cut()
        other.put(service())
        assert eventually(lambda: mine.done == ["install one"])
        other.remove("one")
        assert eventually(lambda: mine.done == ["install one", "forget one"])
    finally:
        mine.sharing.close()


def test_while_the_database_is_away_what_is_known_has_to_do(server: Server) -> None:
    door = server.folder / ".s.PGSQL.5432"
    with ServiceStore(server.database(), KEY) as state:
        mine = Manager(state)
        mine.put(service())
        door.rename(server.folder / "away")
        try:
            state._desk.connection.close()
            mine.sharing.refresh()
            assert list(mine.services) == ["one"]
            with pytest.raises(TemporaryError), mine.sharing.change():
                raise AssertionError("nothing may be changed now")
        finally:
            (server.folder / "away").rename(door)
        assert [row.name for row in state.services()] == ["one"]


# --- where it is ---------------------------------------------------------------------------------


def test_the_database_of_the_environment_has_both(server: Server, tmp_path: Path) -> None:
    environment = {
        "BRIDGE_DATABASE_URL": server.url(server.schema()),
        "BRIDGE_STATE_KEY": KEY.reveal(),
    }
    with ExitStack() as stack:
        state, jobs = open_stores(environment, stack)
        assert isinstance(jobs, SqlStore)
        assert (state.services(), jobs.jobs()) == ([], [])
    with ExitStack() as stack, pytest.raises(UsageError) as caught:
        open_stores({"BRIDGE_DATABASE_URL": f"mysql://me:{PASSWORD}@host/db"}, stack)
    assert PASSWORD not in f"{caught.value} {caught.value.hint}"
    assert "postgresql://" in caught.value.hint
