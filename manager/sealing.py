"""What the manager's state keeps sealed, and the key to it, which is never in the state itself.

Who has only the database, or only a backup, has no token, password or storage key.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bridge.errors import PermanentError, UsageError
from bridge.secret import Secret

__all__ = ["VARIABLE", "Seal", "digest", "kept_key"]

VARIABLE: Final = "BRIDGE_STATE_KEY"
"""The setting that holds the key of the state."""

_SHORTEST: Final = 32
_HINT: Final = "make one with: openssl rand -hex 32"
# The number of bytes that AES-GCM is made for (NIST SP 800-38D, 2007).
_NONCE: Final = 12


class Seal:
    """Seals texts with one key (AES-256-GCM, its key by HKDF-SHA-256); thread-safe.

    UsageError for a key of fewer than 32 characters. It must be random: it is not a password that
    is made slow to guess.
    """

    def __init__(self, key: Secret) -> None:
        if len(key.reveal()) < _SHORTEST:
            raise UsageError(f"{VARIABLE} has fewer than {_SHORTEST} characters", hint=_HINT)
        self._cipher = AESGCM(_derived(key, b"oscar-bridge: state"))
        self.mark = _derived(key, b"oscar-bridge: mark of the key").hex()
        """Says which key it is, and nothing of the key."""

    def seal(self, text: str, place: str) -> str:
        """The text as it may be stored at this place, and at no other."""
        nonce = os.urandom(_NONCE)
        sealed = self._cipher.encrypt(nonce, text.encode(), place.encode())
        return b64encode(nonce + sealed).decode()

    def open(self, sealed: str, place: str) -> str:
        """What was sealed for this place; PermanentError for all else."""
        try:
            found = b64decode(sealed, validate=True)
            text = self._cipher.decrypt(found[:_NONCE], found[_NONCE:], place.encode())
        except (InvalidTag, ValueError):
            raise PermanentError(
                f"what the manager's state has as {place} is damaged or was not sealed with its key"
            ) from None
        return text.decode()


def _derived(key: Secret, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=purpose).derive(key.reveal().encode())


def digest(token: Secret) -> str:
    """The SHA-256 of a token, which is random and needs no salt."""
    return hashlib.sha256(token.reveal().encode()).hexdigest()


def kept_key(path: Path, *, make: bool) -> Secret:
    """The key in a file that only its owner can read.

    With `make` one is made where there is none. PermanentError for one that cannot be read.
    """
    try:
        if make and not path.exists():
            _make(path)
        return Secret(path.read_text().strip())
    except FileNotFoundError:
        raise PermanentError(
            f"{path} is missing, and the manager's state beside it cannot be read without it",
            hint=f"put the file back, or set {VARIABLE} to what was in it",
        ) from None
    except (OSError, ValueError) as error:
        raise PermanentError(f"cannot use the key of the state: {error}") from error


def _make(path: Path) -> None:
    """Whole on the disk or not there at all: what is sealed with a lost key is lost."""
    written = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(written, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(f"{secrets.token_hex(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        # Another process may have been quicker: a link replaces nothing.
        if not path.exists():
            os.link(written, path)
    except FileExistsError:
        pass
    finally:
        written.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
