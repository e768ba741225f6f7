"""A server of tokens as registries name it, whose signature a real registry checks."""

from __future__ import annotations

import base64
import datetime
import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests.images.registries import PASSWORD, USER


class TokenServer:
    """A token server as registries name it: it grants what is asked, to GOOD and to a refresh
    token. `asked` are the scopes of every request, in order."""

    refresh = "a-refresh-token"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = self._make_key()
        self.asked: list[list[str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                known = self.headers.get("Authorization") == f"Basic {pair}"
                self._grant(known, query.get("scope", []))

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                known = form.get("refresh_token") == [outer.refresh]
                self._grant(known, form.get("scope", [""])[0].split())

            def _grant(self, known: bool, scopes: list[str]) -> None:
                outer.asked.append(scopes)
                text = {"token": outer.token(scopes)} if known else {"details": "no"}
                body = json.dumps(text).encode()
                self.send_response(200 if known else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def auth(self) -> dict[str, Any]:
        """`auth` of a registry that trusts this server."""
        port = self._server.server_address[1]
        return {
            "token": {
                "realm": f"http://127.0.0.1:{port}/token",
                "service": "tests",
                "issuer": "tests",
                "rootcertbundle": str(self._folder / "root.pem"),
            }
        }

    def token(self, scopes: list[str]) -> str:
        """A signed token that grants the scopes."""
        now = int(time.time())
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":", 2)
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        claims = {"iss": "tests", "sub": USER, "aud": "tests", "access": access, "jti": str(now)}
        claims |= {"exp": now + 300, "nbf": now - 60, "iat": now}
        return self._sign(claims)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def _make_key(self) -> Any:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = _self_signed(key)
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        (self._folder / "root.pem").write_bytes(pem)
        der = certificate.public_bytes(serialization.Encoding.DER)
        self._header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        return key

    def _sign(self, claims: Mapping[str, Any]) -> str:
        text = ".".join(_coded(json.dumps(part).encode()) for part in (self._header, claims))
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_coded(signature)}"


def _coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _self_signed(key: Any) -> Any:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    return builder.sign(key, hashes.SHA256())
