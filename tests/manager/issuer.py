"""A small issuer of OpenID Connect tokens."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from joserfc import jwt
from joserfc.jwk import RSAKey

MEMBER = {"group_membership": ["lab", "other"]}


class Provider:
    """An issuer with keys that can be changed, and users' groups that are not in the token."""

    def __init__(self) -> None:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(provider.answer(self.path, self.headers)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/realm"
        self.key = RSAKey.generate_key(2048, {"kid": "first"})
        self.users: dict[str, list[str]] = {}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path: str, headers: Any) -> dict[str, Any]:
        if path.endswith("/openid-configuration"):
            where = {"jwks_uri": f"{self.url}/keys", "userinfo_endpoint": f"{self.url}/user"}
            return {"issuer": self.url, **where}
        if path.endswith("/keys"):
            return {"keys": [self.key.as_dict(private=False)]}
        payload = headers["Authorization"].split(".")[1]
        uid = json.loads(base64.urlsafe_b64decode(payload + "=="))["sub"]
        return {"sub": uid, "group_membership": self.users.get(uid, [])}

    def token(self, uid: str = "ann", *, key: Any = None, alg: str = "RS256", **claims: Any) -> str:
        key = key or self.key
        now = int(time.time())
        said = {"iss": self.url, "sub": uid, "aud": "oscar", "exp": now + 300, **claims}
        return jwt.encode({"alg": alg, "kid": key.kid}, said, key, algorithms=[alg])

    def header(self, uid: str = "ann", **more: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(uid, **more)}"}
