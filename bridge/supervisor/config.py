"""What the supervisor must know of a service: upstream's configuration, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from bridge.errors import PermanentError

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_FOREVER = float("inf")


class PathConfig(NamedTuple):
    """One input or output. `provider` is `<type>.<id>`; `path` has no slashes at its ends."""

    provider: str
    path: str
    prefix: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ()

    @property
    def bucket(self) -> str:
        """First segment of the path."""
        return self.path.partition("/")[0]

    @property
    def folder(self) -> str:
        """The rest of the path; empty for a whole bucket."""
        return self.path.partition("/")[2]

    def accepts(self, name: str) -> bool:
        """Whether a file of this name, relative to the output folder, belongs here."""
        return (not self.prefix or name.startswith(self.prefix)) and (
            not self.suffix or name.endswith(self.suffix)
        )

    def key_for(self, name: str) -> str:
        """Object key under this path for a name relative to the output folder."""
        return f"{self.folder}/{name}" if self.folder else name


class ServiceConfig(NamedTuple):
    """A service as the supervisor sees it.

    `providers` has the settings of each `<type>.<id>`. `file_stage_in` keeps upstream's meaning:
    true when the script fetches its input itself. `script` is None until one is found.
    `init_script` is a path. `isolation` and `buckets` are upstream's `isolation_level` and
    `bucket_list`. `variables` are for the script.
    `timeout_threshold` is SCAR's: seconds of a Lambda invocation that are not the script's.
    """

    name: str
    inputs: tuple[PathConfig, ...] = ()
    outputs: tuple[PathConfig, ...] = ()
    providers: Mapping[str, Mapping[str, Any]] = _NOTHING
    file_stage_in: bool = False
    script: bytes | None = None
    init_script: str = ""
    isolation: str = ""
    buckets: tuple[str, ...] = ()
    variables: Mapping[str, str] = _NOTHING
    log_level: str = "INFO"
    timeout_threshold: float | None = None

    def with_script(self, script: bytes | None) -> ServiceConfig:
        """The same service with this script."""
        return self._replace(script=script)


def parse_service(document: object) -> ServiceConfig:
    """Read a service's JSON value. Keys that are not ours are left alone.

    Raises PermanentError that names the key when a value is of the wrong type.
    """
    values = _mapping(document, "the service")
    environment = values.get("environment") or _NOTHING
    variables = _mapping(environment, "environment")
    texts = variables.get("variables") or variables.get("Variables") or _NOTHING
    return ServiceConfig(
        name=_text(values.get("name") or "", "name"),
        inputs=_paths(values.get("input"), "input"),
        outputs=_paths(values.get("output"), "output"),
        providers=_providers(values.get("storage_providers")),
        file_stage_in=bool(values.get("file_stage_in")),
        init_script=_text(values.get("init_script") or "", "init_script"),
        isolation=_text(values.get("isolation_level") or "", "isolation_level").upper(),
        buckets=_texts(values.get("bucket_list"), "bucket_list"),
        variables={k: str(v) for k, v in _mapping(texts, "environment.variables").items()},
        log_level=_text(values.get("log_level") or "INFO", "log_level").upper(),
        timeout_threshold=_seconds(values.get("timeout_threshold"), "timeout_threshold"),
    )


def full_name(provider: str) -> str:
    """`<type>.<id>` of a provider that may be named by its type alone."""
    kind, _, name = provider.partition(".")
    return f"{kind}.{name or 'default'}"


def _paths(value: object, where: str) -> tuple[PathConfig, ...]:
    if value is None:
        return ()
    return tuple(_path(item, f"{where}[{n}]") for n, item in enumerate(_list(value, where)))


def _path(value: object, where: str) -> PathConfig:
    values = _mapping(value, where)
    path = _text(values.get("path") or "", f"{where}.path")
    return PathConfig(
        provider=full_name(_text(values.get("storage_provider") or "", where)),
        path="/".join(part for part in path.split("/") if part),
        prefix=_texts(values.get("prefix"), f"{where}.prefix"),
        suffix=_texts(values.get("suffix"), f"{where}.suffix"),
    )


def _providers(value: object) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for kind, ids in _mapping(value or _NOTHING, "storage_providers").items():
        for name, settings in _mapping(ids or _NOTHING, f"storage_providers.{kind}").items():
            where = f"storage_providers.{kind}.{name}"
            found[f"{kind}.{name}"] = _mapping(settings or _NOTHING, where)
    return found


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PermanentError(f"{where} must be an object, not {type(value).__name__}")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise PermanentError(f"{where} must be a list, not {type(value).__name__}")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise PermanentError(f"{where} must be text, not {type(value).__name__}")
    return value


def _seconds(value: object, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _FOREVER:
        raise PermanentError(f"{where} must be seconds, 0 or more, not {value!r}")
    return float(value)


def _texts(value: object, where: str) -> tuple[str, ...]:
    """A list of texts; upstream's files also have a single one."""
    if value is None:
        return ()
    items = [value] if isinstance(value, str) else _list(value, where)
    return tuple(_text(item, where) for item in items)
