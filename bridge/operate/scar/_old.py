"""Older grammars of SCAR → the one of SCAR 4, as plain YAML values.

SCAR 3 had `functions: {<name>: {image, time, s3: {input_bucket, …}}}`; the betas of SCAR 4 had
`storages` in several forms, and `storage`, `storage_name` and `files` in inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

__all__ = ["Plain", "modern", "texts"]

Plain = dict[str, Any]

_GRAMMARS: Final = frozenset({"aws", "oscar", "bridge"})
_TYPES: Final = ("minio", "s3", "onedata", "webdav", "rucio")
# SCAR 3's name of a key → where SCAR 4 has it.
_MOVED: Final[Mapping[str, tuple[str, ...]]] = {
    "image": ("lambda", "container", "image"),
    "image_file": ("lambda", "container", "image_file"),
    "timeout_threshold": ("lambda", "container", "timeout_threshold"),
    "time": ("lambda", "timeout"),
    "lambda_role": ("iam", "role"),
    "role": ("iam", "role"),
    "profile": ("lambda", "boto_profile"),
    "deployment_bucket": ("lambda", "deployment", "bucket"),
}
_SECTIONS: Final = frozenset({"iam", "api_gateway", "cloudwatch", "batch", "ecr"})
_CREDENTIALS: Final[Mapping[str, Mapping[str, str]]] = {
    "onedata": {"host": "oneprovider_host", "token": "token", "space": "space"},
    "minio": {"user": "access_key", "pass": "secret_key", "host": "endpoint"},
    "s3": {"user": "access_key", "pass": "secret_key"},
}


def modern(document: Plain, say: Callable[[str], None]) -> Plain:
    """The document in SCAR 4's grammar; one that has it already comes back as it is."""
    made = dict(document)
    functions = made.get("functions")
    if isinstance(functions, list):
        say("functions is a list, as in a beta of SCAR 4: they are taken for functions of AWS")
        made["functions"] = {"aws": [{"lambda": _plain(one)} for one in functions]}
    elif isinstance(functions, dict) and functions and not functions.keys() & _GRAMMARS:
        say("functions is in the grammar of SCAR 3")
        made["functions"] = {"aws": [_version_3(n, _plain(f)) for n, f in functions.items()]}
    storages = made.pop("storages", None)
    given = storages if storages is not None else made.get("storage_providers")
    names: dict[str, str] = {}
    if given is not None:
        made["storage_providers"], names = _providers(given)
    for path in _paths(made):
        _mend_path(path, names)
    return made


def texts(value: Any) -> list[str]:
    """One text or several, as a list."""
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _plain(value: Any) -> Plain:
    return dict(value) if isinstance(value, dict) else {}


def _version_3(name: str, old: Plain) -> Plain:
    made: Plain = {"lambda": {"name": name}}
    own, container = _plain(old.pop("s3", None)), _variables(old.pop("environment", None))
    function = _variables(old.pop("lambda_environment", None))
    if "deployment_bucket" in own:
        old["deployment_bucket"] = own["deployment_bucket"]
    for key, value in old.items():
        if key in _SECTIONS:
            made[key] = value
        else:
            _put(made, _MOVED.get(key, ("lambda", key)), value)
    if container:
        _put(made, ("lambda", "container", "environment"), {"Variables": container})
    if function:
        _put(made, ("lambda", "environment"), {"Variables": function})
    made["lambda"] |= _buckets(name, own)
    return made


def _variables(value: Any) -> Plain:
    found = _plain(value)
    return _plain(found["Variables"]) if isinstance(found.get("Variables"), dict) else found


def _put(made: Plain, path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        made = made.setdefault(key, {})
    made[path[-1]] = value


def _buckets(name: str, s3: Plain) -> Plain:
    """SCAR 3's buckets, with the folders that it had when none were named."""
    found: Plain = {}
    into = s3.get("input_bucket")
    out = s3.get("output_bucket") or into
    if into:
        folder = s3.get("input_folder") or f"{name}/input"
        found["input"] = [{"storage_provider": "s3", "path": f"{into}/{folder}".strip("/")}]
    if out:
        folder = s3.get("output_folder") or f"{name}/output"
        found["output"] = [{"storage_provider": "s3", "path": f"{out}/{folder}".strip("/")}]
    return found


def _providers(given: Any) -> tuple[Plain, dict[str, str]]:
    """Providers by type and id, and `<type>.<id>` by the name that inputs and outputs use."""
    made: Plain = {}
    names: dict[str, str] = {}
    for kind, name, settings in _connections(given):
        auth = _plain(settings.pop("auth", None))
        connection = settings | _credentials(kind, auth)
        names[name] = f"{kind}.{name}" if connection else kind
        if connection:
            made.setdefault(kind, {})[name] = connection
    return made, names


def _connections(given: Any) -> Iterable[tuple[str, str, Plain]]:
    if isinstance(given, list):
        for one in map(_plain, given):
            if "type" in one:
                yield _connection(str(one.pop("type")).lower(), one)
            else:
                yield from _connections(one)
        return
    for kind, those in _plain(given).items():
        if isinstance(those, list):
            yield from (_connection(kind, _plain(one)) for one in those)
        elif any(isinstance(one, dict) for one in _plain(those).values()) and "auth" not in those:
            for name, one in those.items():
                yield kind, str(name), _plain(one)
        elif those:
            yield _connection(kind, _plain(those))


def _connection(kind: str, settings: Plain) -> tuple[str, str, Plain]:
    name = settings.pop("name", None) or settings.pop("id", None) or "default"
    return kind, str(name), settings


def _credentials(kind: str, auth: Plain) -> Plain:
    names = _CREDENTIALS.get(kind, {})
    return {names.get(key, key): value for key, value in auth.items()}


def _paths(document: Plain) -> Iterable[Plain]:
    """Every input and output of the document, to be changed in place."""
    functions = _plain(document.get("functions"))
    for entry in functions.get("aws") or ():
        yield from _paths_of(_plain(_plain(entry).get("lambda")))
    for entry in functions.get("oscar") or ():
        for service in _plain(entry).values():
            yield from _paths_of(_plain(service))


def _paths_of(service: Plain) -> Iterable[Plain]:
    for key in ("input", "output"):
        found = service.get(key)
        yield from (path for path in found or () if isinstance(path, dict))


def _mend_path(path: Plain, names: Mapping[str, str]) -> None:
    for key in ("storage", "storage_name", "name"):
        if key in path and "storage_provider" not in path:
            said = str(path.pop(key))
            default = said if said.partition(".")[0].lower() in _TYPES else f"s3.{said}"
            path["storage_provider"] = names.get(said, default)
    files = _plain(path.pop("files", None))
    for key, spellings in (("prefix", ("prefix",)), ("suffix", ("suffix", "sufix"))):
        found = [text for spelling in spellings for text in texts(files.get(spelling))]
        if found:
            path[key] = found
