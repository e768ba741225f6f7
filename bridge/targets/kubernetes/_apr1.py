"""Apache's own hash of passwords (APR1): what nginx and Traefik read in a password file."""

from __future__ import annotations

from hashlib import md5
from itertools import cycle, islice
from typing import Final

__all__ = ["apr1"]

_LETTERS: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ROUNDS: Final = 1000
# Which bytes of the digest make each group of four letters.
_GROUPS: Final = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))


def apr1(password: str, salt: str) -> str:
    """`$apr1$<salt>$<hash>`; the salt is up to 8 letters. MD5 a thousand times: for passwords that
    are random and long."""
    word, grain = password.encode(), salt.encode()
    digest = _first(word, grain)
    for number in range(_ROUNDS):
        turn = word if number % 2 else digest
        turn += grain if number % 3 else b""
        turn += word if number % 7 else b""
        turn += digest if number % 2 else word
        digest = _md5(turn)
    return f"$apr1${salt}${_encoded(digest)}"


def _first(word: bytes, grain: bytes) -> bytes:
    inner = _md5(word + grain + word)
    text = word + b"$apr1$" + grain + bytes(islice(cycle(inner), len(word)))
    left = len(word)
    while left:
        text += b"\0" if left & 1 else word[:1]
        left >>= 1
    return _md5(text)


def _encoded(digest: bytes) -> str:
    groups = [digest[a] << 16 | digest[b] << 8 | digest[c] for a, b, c in _GROUPS]
    return "".join(_letters(group, 4) for group in groups) + _letters(digest[11], 2)


def _letters(value: int, count: int) -> str:
    return "".join(_LETTERS[value >> 6 * place & 63] for place in range(count))


def _md5(text: bytes) -> bytes:
    return md5(text, usedforsecurity=False).digest()
