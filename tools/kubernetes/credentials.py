"""Keys and certificates of a cluster for tests, made by openssl, and who says what with them."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

_DAYS: Final = "30"
_PROFILE: Final = """
[req]
distinguished_name = subject
prompt = no
x509_extensions = extensions
[subject]
[extensions]
basicConstraints = critical, CA:{ca}
{more}
"""


class Authority:
    """A certificate authority in a folder, with the keys of everybody whom it knows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700)
        self.authority = self.certificate("authority")
        self._make("authority", "/CN=tests", "TRUE", "keyUsage = keyCertSign, digitalSignature", [])

    def key(self, name: str) -> Path:
        """The file of a private key."""
        return self._folder / f"{name}.key"

    def public(self, name: str) -> Path:
        """The file of a public key."""
        return self._folder / f"{name}.pub"

    def certificate(self, name: str) -> Path:
        """The file of a certificate."""
        return self._folder / f"{name}.crt"

    def issue(self, name: str, subject: str, addresses: Sequence[str]) -> None:
        """A certificate with which `subject` may call, and answer at these addresses."""
        usage = f"extendedKeyUsage = serverAuth, clientAuth\nsubjectAltName = {','.join(addresses)}"
        signed = ["-CA", str(self.authority), "-CAkey", str(self.key("authority"))]
        self._make(name, subject, "FALSE", usage, signed)

    def make_key_pair(self, name: str) -> None:
        """An RSA key, and its public half."""
        _openssl("genrsa", "-out", str(self.key(name)), "2048")
        _openssl("rsa", "-in", str(self.key(name)), "-pubout", "-out", str(self.public(name)))

    def kubeconfig(self, user: str, server: str) -> dict[str, Any]:
        """The configuration of a client who is this user."""
        cluster = {"server": server, "certificate-authority-data": _base64(self.authority)}
        login = {
            "client-certificate-data": _base64(self.certificate(user)),
            "client-key-data": _base64(self.key(user)),
        }
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": user, "user": login}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": user}}],
            "current-context": "tests",
        }

    def _make(self, name: str, subject: str, ca: str, more: str, signed: Sequence[str]) -> None:
        profile = self._folder / f"{name}.conf"
        profile.write_text(_PROFILE.format(ca=ca, more=more))
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        files = ["-keyout", str(self.key(name)), "-out", str(self.certificate(name))]
        names = ["-config", str(profile), "-subj", subject, "-days", _DAYS]
        _openssl("req", "-x509", *curve, *files, *names, *signed)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
