"""Values of templates as text that may be shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from bridge.secret import HIDDEN, Secret

_LEAST: Final = 4
_NAMES: Final = re.compile(
    r"(pass(word|wd|phrase)?|secret(_?string)?|token|credentials?|(access|secret|api|private)_?key)$",
    re.IGNORECASE,
)


class Mask:
    """Hides the given secrets wherever they stand, and all that is called like a secret.

    A value that is a reference (to a secret's name, for example) is no secret and is shown.
    """

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        known = {one.reveal() for one in secrets}
        long = {value for value in known if len(value) >= _LEAST}
        self._values = sorted(long | {json.dumps(v)[1:-1] for v in long}, key=len, reverse=True)
        self._whole = known - {""}

    def text(self, path: str, value: Any) -> str:
        """JSON of a value that stands at this path; "" for None."""
        if value is None:
            return ""
        last = path.rpartition(".")[2]
        if isinstance(value, str) and (_NAMES.search(last) or value in self._whole):
            return HIDDEN
        return self.clean(json.dumps(self._inner(value), ensure_ascii=False, sort_keys=True))

    def clean(self, text: str) -> str:
        """Any text without the secrets that are known."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return text

    def _inner(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._named(key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._inner(item) for item in value]
        return HIDDEN if isinstance(value, str) and value in self._whole else value

    def _named(self, key: str, value: Any) -> Any:
        return HIDDEN if isinstance(value, str) and _NAMES.search(key) else self._inner(value)
