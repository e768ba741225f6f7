"""An FDL file of SCAR, of whatever age → ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from bridge.errors import FdlError, Problem
from bridge.operate.scar._old import Plain, modern
from bridge.operate.scar._tidy import tidy
from bridge.operate.scar._write import Imported, write

__all__ = ["from_file", "from_plain"]

_TOP: Final = ("functions", "storage_providers", "clusters", "scar")
_SCRIPTS: Final = ("init_script", "run_script")


def from_file(path: Path, *, folder: Path | None = None, reveal: bool = False) -> Imported:
    """The file in our FDL. Scripts are named relative to `folder`, which is the file's by default.

    FdlError when it cannot be read, is not YAML or has no functions.
    """
    document, notes = _read(path), list[str]()
    made = from_plain(document, notes)
    home = path.parent if folder is None else folder
    if folder is not None:
        _move_scripts(made, path.parent, folder)
    return write(made, path.name, notes, folder=home, reveal=reveal)


def from_plain(document: Plain, notes: list[str]) -> Plain:
    """The document in our grammar, its entries tidied; `notes` gets what is not as it was."""
    made = modern(document, notes.append)
    functions = made["functions"]
    entries = functions.get("aws")
    if entries:
        found = entries if isinstance(entries, list) else [entries]
        functions["aws"] = [tidy(one, notes.append) for one in found if isinstance(one, dict)]
    for n, entry in enumerate(functions.get("aws") or ()):
        lifted = entry["lambda"].pop("storage_providers", None)
        if lifted:
            made["storage_providers"] = {**lifted, **(made.get("storage_providers") or {})}
            notes.append(f"storage_providers of functions.aws[{n}] now stand at the top")
    for key in [key for key in made if key not in _TOP and not str(key).startswith("x-")]:
        notes.append(f"{key} is left out: it is not a key of FDL")
        made.pop(key)
    made.pop("scar", None)
    return {key: value for key, value in made.items() if value}


def _read(path: Path) -> Plain:
    import yaml  # noqa: PLC0415  heavy

    try:
        text = path.read_text("utf-8").replace("\t", "  ")
        document: Any = yaml.safe_load(text)
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _refused(path, "is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _refused(path, f"is not YAML: {error.problem}", line, column) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _refused(path, f"is not YAML: {type(error).__name__}") from None
    if not isinstance(document, dict) or not document.get("functions"):
        raise _refused(path, "is not a file of SCAR: it has no `functions`")
    return document


def _refused(path: Path, what: str, line: int = 1, column: int = 1) -> FdlError:
    hint = "give a YAML file that `scar init -f` took"
    return FdlError([Problem(str(path), line, column, "", f"the file {what}", hint)])


def _move_scripts(document: Plain, old: Path, new: Path) -> None:
    for entry in document["functions"].get("aws") or ():
        function = entry["lambda"]
        for key in _SCRIPTS:
            if function.get(key) and not Path(function[key]).is_absolute():
                function[key] = os.path.relpath(old / function[key], new)
    for entry in document["functions"].get("oscar") or ():
        for service in entry.values():
            if service.get("script"):
                service["script"] = os.path.relpath(old / service["script"], new)
