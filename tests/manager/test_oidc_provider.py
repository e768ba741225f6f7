"""Tokens of a second provider that is not ours: npm's oidc-provider, run as a program."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from manager.auth import Refused
from manager.oidc import Oidc, OidcSettings
from tests.standing import npm_modules, why_no_npm

pytestmark = pytest.mark.skipif(bool(why_no_npm()), reason=why_no_npm())
_LIFE = 3600


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    errors = tmp_path_factory.mktemp("provider") / "errors"
    program = Path(__file__).with_name("provider.mjs")
    with errors.open("w") as log:
        child = subprocess.Popen(
            ["node", program, npm_modules()], stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert child.stdout is not None
    with child.stdout:
        url = child.stdout.readline().strip()
        try:
            assert url, errors.read_text()
            yield url
        finally:
            child.terminate()
            child.wait()


def token(issuer: str, client: str = "ann", *, audience: str = "oscar") -> str:
    form = {"grant_type": "client_credentials", "resource": f"urn:for:{audience}"}
    secret = base64.b64encode(f"{client}:{client}-secret".encode()).decode()
    request = urllib.request.Request(
        f"{issuer}/token",
        urllib.parse.urlencode(form).encode(),
        {"Authorization": f"Basic {secret}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["access_token"])


def door(issuer: str, *, later: float = 0, **settings: Any) -> Oidc:
    """As strict as one may be, with a clock that is this much later."""
    known = {"issuers": (issuer,), "groups": ("lab",), "audience": "oscar"} | settings
    return Oidc(OidcSettings(**known), clock=lambda: time.time() + later)


def refused(opened: Oidc, said: str) -> bool:
    try:
        opened.authenticate(f"Bearer {said}")
    except Refused as error:
        return error.status == 401 and said not in error.text
    return False


def test_its_tokens_are_taken_and_only_as_they_are(issuer: str) -> None:
    right = token(issuer)
    caller = door(issuer).authenticate(f"Bearer {right}")
    assert caller is not None
    assert (caller.uid, caller.groups, caller.admin) == ("ann", {"lab"}, False)
    assert refused(door(issuer), token(issuer, audience="another"))
    assert refused(door(issuer), token(issuer, "bob")), "he is in no group"
    assert refused(door(issuer, issuers=(f"{issuer}/other",)), right)
    head, payload, signature = right.split(".")
    assert refused(door(issuer), f"{head}.{payload}.{signature[:-8]}AAAAAAAA")
    assert door(issuer, later=_LIFE + 30).authenticate(f"Bearer {right}"), "clocks may differ"
    assert refused(door(issuer, later=_LIFE + 90), right)


def test_its_keys_may_change(issuer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = door(issuer)
    old = token(issuer)
    assert opened.authenticate(f"Bearer {old}")
    urllib.request.urlopen(f"{issuer}/rotate", b"", timeout=30).close()
    new = token(issuer)
    assert new.partition(".")[0] != old.partition(".")[0], "another key has signed it"
    # A key that nobody knows does not make us ask again at once: that would be anybody's lever.
    assert refused(opened, new)
    monkeypatch.setattr("manager.issuer._REFRESH", 0.0)
    for one in (new, old):
        assert opened.authenticate(f"Bearer {one}")
