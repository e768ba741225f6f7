"""The imported document as FDL text: unknown keys left out, secrets left blank, checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.errors import FdlError, Problem
from bridge.fdl import parse
from bridge.operate.scar._old import Plain

__all__ = ["Imported", "write"]

_SECRET_KEYS: Final = frozenset(
    {
        "access_key",
        "access_token",
        "auth_password",
        "login",
        "password",
        "refresh_token",
        "secret_key",
        "session_token",
        "token",
    }
)
_SECRET_NAME: Final = re.compile(
    r"(?:^|_)(?:PASS|PASSWD|PASSWORD|SECRET|TOKEN|CREDENTIALS?|(?:ACCESS|API|SECRET|PRIVATE)_?KEY)"
    r"(?:_ID)?(?:_|$)",
    re.IGNORECASE,
)
_UNKNOWN: Final = "unknown key"
_WIDTH: Final = 96


@dataclass(frozen=True, slots=True)
class Imported:
    """FDL made from SCAR's. `notes` say what is not as it was, `blank` which secrets are left out.

    `problems` are what `oscar-bridge validate` would still say of `text`; places are in it.
    """

    text: str
    notes: tuple[str, ...] = ()
    blank: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def write(
    document: Plain, source: str, notes: list[str], *, folder: Path | None, reveal: bool
) -> Imported:
    """The document as text. `folder` is where its scripts are; None when they are nowhere.

    Without `reveal` every secret is left blank. Keys that our grammar does not have are left out.
    """
    blank: list[str] = []
    if not reveal:
        document = _without_secrets(document, "", blank)
    document = _without_unknown(document, notes)
    text = _header(source, notes, blank) + _yaml(document)
    return Imported(text, tuple(notes), tuple(blank), _problems(text, folder))


def _without_secrets(value: Any, path: str, blank: list[str]) -> Any:
    if isinstance(value, list):
        return [_without_secrets(one, f"{path}[{n}]", blank) for n, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    made: Plain = {}
    for key, one in value.items():
        where = f"{path}.{key}" if path else str(key)
        if key in _SECRET_KEYS and not isinstance(one, dict | list):
            blank += [where] if one else []
            made[key] = ""
        elif key in ("Variables", "variables") and isinstance(one, dict):
            made |= _variables(key, one, path, blank)
        else:
            made[key] = _without_secrets(one, where, blank)
    return made


def _variables(key: str, values: Plain, path: str, blank: list[str]) -> Plain:
    """Variables by their names: those that look like secrets become secrets, where there are."""
    hidden = {name: "" for name in values if _SECRET_NAME.search(str(name))}
    open_ones = {name: value for name, value in values.items() if name not in hidden}
    if not hidden:
        return {key: values}
    if ".container." in path or ".oscar" in path:
        blank += [f"{path}.secrets.{name}" for name in hidden]
        return {key: open_ones, "secrets": hidden}
    blank += [f"{path}.{key}.{name}" for name in hidden]
    return {key: open_ones | hidden}


def _without_unknown(document: Plain, notes: list[str]) -> Plain:
    """Leave out what the grammar does not know; SCAR carried such keys along and ignored them."""
    unknown = {p.path for p in _problems(_yaml(document), None) if p.message == _UNKNOWN}
    notes += [f"{path} is left out: it is not a key of FDL" for path in sorted(unknown)]
    kept: Plain = _kept(document, "", unknown)
    return kept


def _kept(value: Any, path: str, unknown: set[str]) -> Any:
    if isinstance(value, list):
        return [_kept(one, f"{path}[{n}]", unknown) for n, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    return {
        key: _kept(one, where, unknown)
        for key, one in value.items()
        if (where := f"{path}.{key}" if path else str(key)) not in unknown
    }


def _problems(text: str, folder: Path | None) -> tuple[Problem, ...]:
    reader: Callable[[str], str] | None = None
    if folder is not None:
        reader = lambda script: (folder / script).read_text("utf-8")  # noqa: E731
    try:
        parse(text, file="<imported>", read_script=reader)
    except FdlError as error:
        return error.problems
    return ()


def _yaml(document: Plain) -> str:
    import yaml  # noqa: PLC0415  heavy

    class Dumper(yaml.SafeDumper):
        """Repeats no node by an alias."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    made = yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return str(made)


def _header(source: str, notes: list[str], blank: list[str]) -> str:
    lines = [f"Imported from {source} by oscar-bridge import-scar.", *notes]
    if blank:
        lines += [
            "Secrets are left blank. Write them in before `oscar-bridge apply`, which keeps them",
            "in AWS Secrets Manager and out of functions, templates and job definitions:",
            *(f"  {path}" for path in blank),
        ]
    return "".join(f"# {line}\n" for line in lines)
