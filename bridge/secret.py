"""A value that must not be seen: passwords, keys, tokens."""

from __future__ import annotations

from typing import Final

__all__ = ["HIDDEN", "Secret"]

HIDDEN: Final = "hidden"


class Secret:
    """Holds a secret string. `str`, `repr`, `format` and pickling never show it; `reveal` does.

    Two secrets are equal when their values are; a secret is never equal to a plain string.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself. Call it only where the value leaves for the system that needs it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return f"Secret({HIDDEN!r})"

    def __str__(self) -> str:
        return HIDDEN

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        raise TypeError("a Secret is not pickled; reveal() it where it is needed")
