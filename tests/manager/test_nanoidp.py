"""Tokens of a provider that is not ours: nanoidp, run as a program."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from joserfc import jwt
from joserfc.jwk import RSAKey

from manager.auth import Refused
from manager.oidc import Oidc, OidcSettings
from tests.waiting import eventually

_LIFE = 3600
_MEMBER = {"group_membership": ["lab"]}


@dataclass(frozen=True)
class Provider:
    """The program, and what it is asked for."""

    url: str

    def ask(self, path: str, **form: str) -> Any:
        data = urllib.parse.urlencode(form).encode() if form else None
        client = base64.b64encode(b"client:client-secret").decode()
        headers = {"Authorization": f"Basic {client}"}
        request = urllib.request.Request(f"{self.url}{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def token(self, **claims: Any) -> str:
        said = {"username": "ann", "password": "word", "scope": "openid"}
        answer = self.ask("/token", grant_type="password", extra=json.dumps(claims), **said)
        return str(answer["access_token"])


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    folder = tmp_path_factory.mktemp("provider")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    client = {"client_id": "client", "client_secret": "client-secret"}
    oauth = {"issuer": url, "audience": "oscar", "clients": [client]}
    server = {"host": "127.0.0.1", "port": port}
    users = {"ann": {"password": "word", "roles": ["USER"], "tenant": "default"}}
    for name, value in (
        ("settings", {"server": server, "oauth": oauth}),
        ("users", {"users": users}),
    ):
        text = yaml.safe_dump({"config_version": 1, **value})
        (folder / f"{name}.yaml").write_text(text)
    command = [Path(sys.executable).parent / "nanoidp", "--config", folder, "--port", str(port)]
    with (folder / "log").open("w") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    made = Provider(url)
    try:
        assert eventually(lambda: answers(made) or child.poll() is not None)
        assert child.poll() is None, (folder / "log").read_text()
        yield made
    finally:
        child.terminate()
        child.wait()


def answers(provider: Provider) -> bool:
    try:
        return bool(provider.ask("/.well-known/openid-configuration"))
    except OSError:
        return False


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def refusal(door: Oidc, token: str) -> int:
    with pytest.raises(Refused) as error:
        door.authenticate(f"Bearer {token}")
    assert token not in str(error.value)
    return error.value.status


def door(provider: Provider, *, later: float = 0, **settings: Any) -> Oidc:
    """As strict as one may be, with a clock that is this much later."""
    known = {"issuers": (provider.url,), "groups": ("lab",), "audience": "oscar"} | settings
    return Oidc(OidcSettings(**known), clock=lambda: time.time() + later)


def test_its_tokens_are_taken_and_only_as_they_are(provider: Provider) -> None:
    token = provider.token(**_MEMBER)
    caller = door(provider).authenticate(f"Bearer {token}")
    assert caller is not None
    assert (caller.uid, caller.groups, caller.admin) == ("ann", {"lab"}, False)
    assert refusal(door(provider), provider.token()) == 401
    assert refusal(door(provider, audience="another"), token) == 401
    assert refusal(door(provider, issuers=(f"{provider.url}/other",)), token) == 401
    assert refusal(door(provider, groups=("others",)), token) == 401
    # Clocks differ by a minute at most.
    for later, right in ((_LIFE + 30, True), (_LIFE + 90, False), (-30, True), (-90, False)):
        if right:
            assert door(provider, later=later).authenticate(f"Bearer {token}")
        else:
            assert refusal(door(provider, later=later), token) == 401


def test_nothing_made_of_its_token_is_taken(provider: Provider) -> None:
    token = provider.token(**_MEMBER)
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    (key,) = provider.ask("/.well-known/jwks.json")["keys"]
    public = RSAKey.import_key(key)
    pem, der = public.as_pem(private=False), public.as_der(private=False)
    forged = []
    for secret in (pem, pem.strip(), der, key["n"].encode()):
        signed = f"{encoded({'alg': 'HS256', 'kid': key['kid']})}.{payload}"
        mac = hmac.new(secret, signed.encode(), "sha256").digest()
        forged.append(f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}")
    for alg in ("none", "None", "NONE"):
        none = encoded({"alg": alg, "kid": key["kid"]})
        forged += [f"{none}.{payload}.{end}" for end in ("", signature)]
    own = RSAKey.generate_key(2048, {"kid": "unknown"})
    for named in ({"kid": "unknown"}, {"kid": key["kid"]}, {"jwk": own.as_dict(private=False)}, {}):
        forged.append(jwt.encode({"alg": "RS256", **named}, claims, own))
    forged.append(f"{head}.{encoded({**claims, 'sub': 'bob'})}.{signature}")
    opened = door(provider)
    for one in forged:
        assert refusal(opened, one) in (400, 401)
    assert opened.authenticate(f"Bearer {token}")


def test_its_keys_may_change(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = door(provider)
    old = provider.token(**_MEMBER)
    assert opened.authenticate(f"Bearer {old}")
    provider.ask("/api/keys/rotate", why="test")
    new = provider.token(**_MEMBER)
    # A key that nobody knows does not make us ask again at once: that would be anybody's lever.
    assert refusal(opened, new) == 401
    monkeypatch.setattr("manager.issuer._REFRESH", 0.0)
    for token in (new, old):
        assert opened.authenticate(f"Bearer {token}")
