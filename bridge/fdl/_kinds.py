"""What a value may be: every kind reads a node, describes itself as JSON Schema, and dumps back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Literal, Protocol, TypeAlias

from bridge.fdl import quantities
from bridge.fdl._tree import Log, Map, Node, Scalar, Seq, did_you_mean, join, one_of
from bridge.fdl.limits import limits
from bridge.fdl.plugins import NAME, Words
from bridge.secret import HIDDEN, Secret

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
Schema: TypeAlias = dict[str, Any]


class Bad(Enum):
    """Stands for a value that could not be read; the reason is in the log."""

    BAD = "bad"


BAD: Final = Bad.BAD


class Kind(Protocol):
    """A kind of value. `read` never raises: it logs and gives BAD."""

    def read(self, node: Node, path: str, log: Log) -> Any:
        """The value of a node, or BAD."""
        ...

    def schema(self, defs: Schema) -> Schema:
        """JSON Schema of what `read` takes; records put themselves into `defs`."""
        ...

    def dump(self, value: Any, reveal: bool) -> Plain:
        """What to write so that `read` gives the value again; secrets only when `reveal`."""
        ...


def any_case(names: tuple[str, ...]) -> str:
    """A pattern that takes the names in any mixture of cases; ECMA 262 has no flag for it."""
    words = ("".join(_any_case(c) for c in name) for name in names)
    return "^(" + "|".join(words) + ")$"


def _any_case(char: str) -> str:
    return f"[{char.lower()}{char.upper()}]" if char.isalpha() else re.escape(char)


class Text:
    """Text. A number stands for its text as written; `any_scalar` takes yes, no and nothing too."""

    def __init__(self, limit: str = "", *, any_scalar: bool = False) -> None:
        self.limit = limit
        self.any_scalar = any_scalar

    def read(self, node: Node, path: str, log: Log) -> str | Bad:
        if not isinstance(node, Scalar) or not self._takes(node):
            log.wrong_type(node, path, "text")
            return BAD
        if node.type == "null":
            return ""
        text = node.text if self.any_scalar else node.text.strip()
        if self.limit and not log.check(self.limit, text, node, path, repr(text)):
            return BAD
        return text

    def _takes(self, node: Scalar) -> bool:
        return self.any_scalar or node.type not in {"bool", "null"}

    def schema(self, defs: Schema) -> Schema:
        types = ["string", "number", *(["boolean", "null"] if self.any_scalar else [])]
        pattern = {"pattern": f"^(?:{limits()[self.limit].pattern})$"} if self.limit else {}
        return {"type": types, **pattern}

    def dump(self, value: str, reveal: bool) -> Plain:
        return value


class SecretText:
    """Text that is never shown."""

    def read(self, node: Node, path: str, log: Log) -> Secret | Bad:
        if not isinstance(node, Scalar):
            log.wrong_type(node, path, "text")
            return BAD
        return Secret("" if node.type == "null" else node.text)

    def schema(self, defs: Schema) -> Schema:
        return {"type": ["string", "number", "boolean", "null"], "writeOnly": True}

    def dump(self, value: Secret, reveal: bool) -> Plain:
        return value.reveal() if reveal else HIDDEN


class Choice:
    """One of some words, in any case; `other` gives more spellings in lower case."""

    def __init__(self, names: tuple[str, ...], other: Mapping[str, str] | None = None) -> None:
        self.names = names
        self.other = dict(other or {})
        self.known = {name.lower(): name for name in names} | self.other

    def read(self, node: Node, path: str, log: Log) -> str | Bad:
        if not isinstance(node, Scalar) or node.type == "null":
            log.wrong_type(node, path, one_of(self.names))
            return BAD
        word = node.text.strip().lower()
        if word not in self.known:
            hint = did_you_mean(node.text.strip(), self.names)
            log.add(node, path, f"{node.text.strip()!r} is not {one_of(self.names)}", hint)
            return BAD
        return self.known[word]

    def schema(self, defs: Schema) -> Schema:
        pattern = any_case((*self.names, *self.other))
        return {"anyOf": [{"enum": list(self.names)}, {"type": "string", "pattern": pattern}]}

    def dump(self, value: str, reveal: bool) -> Plain:
        return value


class ChoiceOrInstalled(Choice):
    """One of some words, or the name of something that is installed (see `plugins`)."""

    def __init__(self, words: Words) -> None:
        super().__init__(words.own)
        self.words = words

    def read(self, node: Node, path: str, log: Log) -> str | Bad:
        word = node.text.strip() if isinstance(node, Scalar) else ""
        if re.fullmatch(NAME, word) is None:
            return super().read(node, path, log)
        if word not in self.words:
            log.add(
                node, path, f"{word!r} is not installed here", "install the package that has it"
            )
            return BAD
        return word

    def schema(self, defs: Schema) -> Schema:
        schema = super().schema(defs)
        return {"anyOf": [*schema["anyOf"], {"type": "string", "pattern": f"^{NAME}$"}]}


class Flag:
    """True or false."""

    def read(self, node: Node, path: str, log: Log) -> bool | Bad:
        word = node.text.strip().lower() if isinstance(node, Scalar) else ""
        if word in {"true", "yes", "on"}:
            return True
        if word in {"false", "no", "off"}:
            return False
        log.wrong_type(node, path, "true or false")
        return BAD

    def schema(self, defs: Schema) -> Schema:
        return {"type": ["boolean", "string"], "pattern": any_case(("true", "false"))}

    def dump(self, value: bool, reveal: bool) -> Plain:
        return value


class Whole:
    """A whole number; text such as '512' and 1.0 count. `flags` takes false as 0 and true as 1."""

    def __init__(self, limit: str = "", *, low: int = 0, flags: bool = False) -> None:
        self.limit = limit
        self.low = low
        self.flags = flags

    _PATTERN = r"[+-]?(0|[1-9][0-9]{0,17})(\.0*)?"

    def read(self, node: Node, path: str, log: Log) -> int | Bad:
        if not isinstance(node, Scalar) or node.type in {"bool", "null"}:
            if self.flags and isinstance(node, Scalar) and node.type == "bool":
                return int(node.text.lower() in {"true", "yes", "on"})
            log.wrong_type(node, path, "a whole number")
            return BAD
        text = node.text.strip()
        if re.fullmatch(self._PATTERN, text) is None:
            log.add(node, path, f"{text!r} is not a whole number")
            return BAD
        return self._bounded(int(text.partition(".")[0]), node, path, log)

    def _bounded(self, value: int, node: Node, path: str, log: Log) -> int | Bad:
        if self.limit:
            return value if log.check(self.limit, value, node, path, str(value)) else BAD
        if value < self.low:
            log.add(node, path, f"{value} is too small", f"write {self.low} or more")
            return BAD
        return value

    def schema(self, defs: Schema) -> Schema:
        types = ["integer", "string", *(["boolean"] if self.flags else [])]
        schema: Schema = {"type": types, "pattern": f"^{self._PATTERN}$", "minimum": self.low}
        if self.limit:
            limit = limits()[self.limit]
            del schema["minimum"]
            schema |= {"minimum": limit.min} if limit.min is not None else {}
            schema |= {"maximum": limit.max} if limit.max is not None else {}
            schema |= {"enum": [*limit.values]} if limit.values else {}
        return schema

    def dump(self, value: int, reveal: bool) -> Plain:
        return value


class Real:
    """A number that is not negative."""

    def read(self, node: Node, path: str, log: Log) -> float | Bad:
        if not isinstance(node, Scalar) or node.type not in {"int", "float", "str"}:
            log.wrong_type(node, path, "a number")
            return BAD
        text = node.text.strip()
        if re.fullmatch(r"[0-9]{1,15}(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?", text) is None:
            log.add(node, path, f"{text!r} is not a number of 0 or more")
            return BAD
        return float(text)

    def schema(self, defs: Schema) -> Schema:
        return {"type": ["number", "string"], "minimum": 0}

    def dump(self, value: float, reveal: bool) -> Plain:
        return value


class Amount:
    """A quantity such as `1Gi`, `500m`, `120s` or `0.05 USD`."""

    def __init__(
        self, what: Literal["cpu", "memory", "duration", "money"], limit: str = ""
    ) -> None:
        self.what = what
        self.limit = limit

    def read(self, node: Node, path: str, log: Log) -> Decimal | int | float | Bad:
        if not isinstance(node, Scalar) or node.type in {"bool", "null"}:
            log.wrong_type(node, path, _WANTED[self.what])
            return BAD
        try:
            value = _READERS[self.what](node.text)
        except quantities.QuantityError as error:
            log.add(node, path, str(error), error.hint)
            return BAD
        shown = node.text.strip()
        if self.what == "memory" and shown.isdigit():
            shown += " bytes"
        kept = not self.limit or log.check(self.limit, value, node, path, shown)
        return value if kept else BAD

    def schema(self, defs: Schema) -> Schema:
        return {"type": ["string", "number"], "examples": list(_EXAMPLES[self.what])}

    def dump(self, value: Any, reveal: bool) -> Plain:
        return _WRITERS[self.what](value)


_READERS: Final[dict[str, Callable[[str], Decimal | int | float]]] = {
    "cpu": quantities.cpu,
    "memory": quantities.memory,
    "duration": quantities.duration,
    "money": quantities.money,
}
_WRITERS: Final[dict[str, Callable[[Any], str]]] = {
    "cpu": quantities.format_cpu,
    "memory": quantities.format_memory,
    "duration": quantities.format_duration,
    "money": quantities.format_money,
}
_WANTED: Final = {
    "cpu": "an amount of CPU such as 0.5 or 500m",
    "memory": "an amount of memory such as 512Mi",
    "duration": "a time such as 120s",
    "money": "an amount such as 0.05 USD",
}
_EXAMPLES: Final = {
    "cpu": ("0.5", "500m", "2"),
    "memory": ("256Mi", "1Gi"),
    "duration": ("120s", "5m"),
    "money": ("0.05 USD",),
}


class Free:
    """A value that is handed on as it is. Text under a key that sounds like a secret is hidden."""

    def __init__(self, wanted: Literal["map", "any"] = "map") -> None:
        self.wanted = wanted

    def read(self, node: Node, path: str, log: Log) -> Any:
        if self.wanted == "map" and not isinstance(node, Map):
            log.wrong_type(node, path, "a map")
            return BAD
        return self._value(node, path, log)

    def _value(self, node: Node, path: str, log: Log) -> Any:
        if isinstance(node, Scalar):
            return _plain(node)
        if isinstance(node, Seq):
            items = enumerate(node.items)
            return tuple(self._value(item, f"{path}[{n}]", log) for n, item in items)
        return {
            key: self._member(key, value, join(path, key), log)
            for key, _, value in log.pairs(node, path)
        }

    def _member(self, key: str, node: Node, path: str, log: Log) -> Any:
        if isinstance(node, Scalar) and node.type != "null" and _SECRET_KEY.search(key):
            return Secret(node.text)
        return self._value(node, path, log)

    def schema(self, defs: Schema) -> Schema:
        return {"type": "object"} if self.wanted == "map" else {}

    def dump(self, value: Any, reveal: bool) -> Plain:
        if isinstance(value, Secret):
            return value.reveal() if reveal else HIDDEN
        if isinstance(value, Mapping):
            return {key: self.dump(member, reveal) for key, member in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.dump(item, reveal) for item in value]
        return value  # type: ignore[no-any-return]


_SECRET_KEY: Final = re.compile(
    r"password|passwd|secret|token|access_?key|credential|private_?key", re.IGNORECASE
)


def _plain(node: Scalar) -> bool | int | float | str | None:
    text = node.text
    if node.type == "null":
        return None
    if node.type == "bool":
        return text.lower() in {"true", "yes", "on"}
    if node.type == "int" and re.fullmatch(r"[+-]?(0|[1-9][0-9]{0,17})", text):
        return int(text)
    if node.type == "float" and re.fullmatch(r"[+-]?[0-9]+\.[0-9]*([eE][+-]?[0-9]{1,2})?", text):
        return float(text)
    return text
