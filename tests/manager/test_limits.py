"""Wrong credentials: how many are answered, to whom, and who still gets in."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace

import pytest

from bridge.errors import UsageError
from bridge.local._webhook import Server
from bridge.secret import Secret
from manager import throttle
from manager.app import create_app
from manager.auth import Refused
from manager.settings import from_environment
from manager.throttle import Limits, Throttle

from .conftest import PASSWORD, Answer, Live, basic

Ask = Callable[..., Answer]
INFO = "/system/info"


@pytest.fixture
def door(live: Live, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ask]]:
    """Makes another door to the same manager, with narrow limits; asked from an address."""
    with ExitStack() as stack:

        def make(*proxies: str) -> Ask:
            limits = Limits(address=4, name=2, period=3600)
            settings = replace(live.manager.settings, limits=limits, proxies=proxies)
            monkeypatch.setattr(live.manager, "settings", settings)
            listener = socket.create_server(("127.0.0.1", 0))
            opened = replace(live, port=int(listener.getsockname()[1]))
            server = Server(create_app(live.manager), listener)
            server.start()
            stack.callback(server.close)

            def ask(address: str, header: Mapping[str, str], path: str = INFO) -> Answer:
                # What a client says of itself stands before what the proxy says of it.
                said = {**header, "X-Forwarded-For": f"203.0.113.9, {address}"}
                method = "POST" if path.startswith(("/job/", "/events")) else "GET"
                return opened.ask(method, path, headers=said)

            return ask

        yield make


def test_who_guesses_a_password_waits_and_others_do_not(
    live: Live, door: Callable[..., Ask]
) -> None:
    ask = door("127.0.0.0/8")
    assert ask("192.0.2.1", basic()).status == 200
    wrong = [ask("192.0.2.2", basic(password=f"guess {n}")) for n in range(3)]
    assert [one.status for one in wrong] == [401, 401, 429]
    assert 0 < int(wrong[-1].headers["retry-after"]) <= 3600
    assert "guess" not in wrong[-1].text
    # Not with the right one either: else he would learn which it is. Nor from anywhere else,
    # but where its owner has come from.
    assert ask("192.0.2.2", basic()).status == 429
    assert ask("192.0.2.3", basic(password="guess")).status == 429
    assert ask("192.0.2.1", basic()).status == 200
    # Another name from there, until there were too many from there.
    tried = [ask("192.0.2.2", basic(user=f"somebody {n}")).status for n in range(3)]
    assert tried == [401, 401, 429]
    assert ask("192.0.2.4", basic(user="somebody else")).status == 401


def test_tokens_are_counted_by_address_and_right_ones_always_taken(
    live: Live, door: Callable[..., Ask]
) -> None:
    name = live.create()
    right, path = {"Authorization": f"Bearer {live.token_of(name)}"}, f"/job/{name}"
    ask = door("127.0.0.0/8")
    bad = {"Authorization": "Bearer " + "0" * 64}
    tried = [ask("192.0.2.5", bad, path).status for _ in range(6)]
    assert tried == [401] * 4 + [429] * 2
    assert ask("192.0.2.5", {}, path).status == 401
    assert ask("192.0.2.5", right, path).status == 201
    assert ask("192.0.2.5", basic()).status == 200
    assert ask("192.0.2.6", bad, path).status == 401


def test_an_event_stores_token_is_not_guessed_either(live: Live, door: Callable[..., Ask]) -> None:
    ask, bad = door("127.0.0.0/8"), {"Authorization": "Bearer guess"}
    tried = [ask("192.0.2.10", bad, "/events").status for _ in range(6)]
    assert tried == [401] * 4 + [429] * 2
    # It may come from the same place as the events.
    right = {"Authorization": f"Bearer {live.token}"}
    assert ask("192.0.2.10", right, "/events").status == 200
    assert ask("192.0.2.11", bad, "/events").status == 401


def test_a_password_is_not_guessed_beside_a_cookie_that_is_right(
    live: Live, door: Callable[..., Ask]
) -> None:
    name = live.create(expose={"api_port": 80})
    path = f"/system/services/{name}/auth"
    cookie = {"Cookie": f"oscar_service_{name}_auth={live.token_of(name)}"}
    ask = door("127.0.0.0/8")
    # Without a cookie in the answer it was the password that was right.
    assert "set-cookie" not in ask("192.0.2.7", basic() | cookie, path).headers
    for password in ("guess", "again", PASSWORD):
        answer = ask("192.0.2.8", basic(password=password) | cookie, path)
        assert (answer.status, "set-cookie" in answer.headers) == (200, True)
    for _ in range(9):
        assert ask("192.0.2.9", basic(user="the-servers-own") | cookie, path).status == 200


def test_without_a_trusted_proxy_nobody_chooses_his_address(
    live: Live, door: Callable[..., Ask]
) -> None:
    ask = door()
    tried = [ask(f"192.0.2.{n}", basic(user=f"name {n}")).status for n in range(5)]
    assert tried == [401] * 4 + [429]


def test_counts_drain_and_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "_KEPT", 5)
    now = [0.0]
    made = Throttle(Limits(address=2, name=2, period=60), clock=lambda: now[0])

    def wait(address: str, name: str = "") -> str:
        try:
            made.check(address, name)
        except Refused as error:
            return error.headers["Retry-After"]
        return ""

    for _ in range(2):
        made.wrong("2001:db8::1", "ann")
    # One network of IPv6 is one client.
    assert wait("2001:db8::2", "bob") == wait("2001:db8:0:0:ffff::", "bob") == "30"
    assert wait("2001:db8:0:1::1", "bob") == wait("2001:db8::2") == ""
    assert wait("192.0.2.1", "ann") == "30"
    now[0] = 29.0
    assert wait("2001:db8::2", "bob") == "1"
    now[0] = 30.0
    assert wait("2001:db8::2", "bob") == wait("192.0.2.1", "ann") == ""
    for n in range(100):
        made.wrong(f"192.0.2.{n}", "x" * 10_000 + str(n))
        made.right(f"192.0.2.{n}", f"name {n}")
    assert len(made._wrong) == len(made._right) == 5
    assert max(len(key) for _, key in made._wrong) <= 64


def test_a_proxy_is_named_by_address_or_network() -> None:
    needed = {"OSCAR_USERNAME": "u", "OSCAR_PASSWORD": "p"}
    said = {**needed, "BRIDGE_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1"}
    assert from_environment(said, token=Secret("")).proxies == ("10.0.0.0/8", "192.0.2.1/32")
    with pytest.raises(UsageError, match="BRIDGE_TRUSTED_PROXIES"):
        from_environment({**needed, "BRIDGE_TRUSTED_PROXIES": "ingress"}, token=Secret(""))
