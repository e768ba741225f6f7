"""What differs between a service as it is wanted and as a cluster has it. Pure.

Clusters write things their own way: quantities in other units, `minio` for `minio.default`, lists
that are null. Labels and annotations of their own do not count. A block that a cluster does not
show at all, as it is older than the block, cannot be compared; `unseen` names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from bridge.fdl import quantities
from bridge.secret import Secret
from bridge.targets.oscar._answers import numbers, truth

__all__ = ["Difference", "differences", "unseen"]


class Difference(NamedTuple):
    """One field: its path, and the values there and wanted; None where there is none."""

    path: str
    there: Any
    wanted: Any


def differences(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> list[Difference]:
    """The fields of the wanted body that are otherwise on the cluster, by path.

    Values of secrets are not compared, as no cluster tells them; that one has come or gone is.
    """
    hidden = set(unseen(wanted, there))
    ours, theirs = (_flat(body, wanted, there) for body in (wanted, there))
    return [
        Difference(path, theirs.get(path), ours.get(path))
        for path in sorted(ours.keys() | theirs.keys())
        if ours.get(path) != theirs.get(path) and path.partition(".")[0] not in hidden
    ]


def unseen(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """The blocks that are wanted and of which the cluster says nothing."""
    return [name for name in _OPTIONAL if wanted.get(name) and there.get(name) is None]


_OPTIONAL: Final = ("federation", "kserve", "mount", "timeout", "volume")


def _flat(
    body: Mapping[str, Any], wanted: Mapping[str, Any], there: Mapping[str, Any]
) -> dict[str, Any]:
    """Path → comparable value; empty values are left out, so that absent equals empty."""
    found = {name: read(body.get(name)) for name, read in _FIELDS.items()}
    for name, read in _MAPS.items():
        found |= {f"{name}.{key}": value for key, value in read(body).items()}
    for name in ("labels", "annotations"):
        ours, theirs = _map(wanted.get(name)), _map(body.get(name))
        found |= {f"{name}.{key}": str(theirs[key]) for key in ours if key in theirs}
    found |= dict(_providers(body, wanted, there))
    return {path: value for path, value in found.items() if value not in ("", None, False, (), 0)}


# --- readers of single fields ------------------------------------------------------------------


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _upper(value: object) -> str:
    return _text(value).upper()


def _script(value: object) -> str:
    return "" if value is None else str(value).replace("\r\n", "\n")


def _quantity(read: Callable[[str], Any], write: Callable[[Any], str]) -> Callable[[object], str]:
    def canonical(value: object) -> str:
        text = _text(value)
        try:
            return write(read(text)) if text else ""
        except quantities.QuantityError:
            return text

    return canonical


def _texts(value: object) -> tuple[str, ...]:
    return tuple(sorted(map(str, value))) if isinstance(value, list) else ()


def _paths(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else []
    return tuple(sorted(_path(one) for one in items if isinstance(one, Mapping)))


def _path(value: object) -> str:
    """A path in one line, such as `minio.default:bucket/in *.csv`."""
    if not isinstance(value, Mapping):
        return ""
    kind, _, name = _text(value.get("storage_provider")).partition(".")
    if not kind:
        return ""
    words = [f"{kind.lower()}.{name or 'default'}:{_text(value.get('path')).strip('/ ')}"]
    words += [f"{one}*" for one in _texts(value.get("prefix"))]
    words += [f"*{one}" for one in _texts(value.get("suffix"))]
    return " ".join([*words, *filter(None, [_text(value.get("options"))])])


_cpu: Final = _quantity(quantities.cpu, quantities.format_cpu)
_memory: Final = _quantity(quantities.memory, quantities.format_memory)
_duration: Final = _quantity(quantities.duration, quantities.format_duration)

_FIELDS: Final[Mapping[str, Callable[[object], Any]]] = {
    "image": _text,
    "script": _script,
    "memory": _memory,
    "cpu": _cpu,
    "total_memory": _memory,
    "total_cpu": _cpu,
    "ephemeral_storage_request": _memory,
    "enable_gpu": truth,
    "enable_sgx": truth,
    "image_prefetch": truth,
    "alpine": truth,
    "file_stage_in": truth,
    "log_level": _upper,
    "input": _paths,
    "output": _paths,
    "image_pull_secrets": _texts,
    "interlink_node_name": _text,
    "visibility": _text,
    "allowed_users": _texts,
    "isolation_level": _upper,
    "mount": _path,
    "timeout": _duration,
}


# --- readers of blocks -------------------------------------------------------------------------


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _environment(body: Mapping[str, Any]) -> dict[str, Any]:
    found = {str(key).lower(): value for key, value in _map(body.get("environment")).items()}
    variables, secrets = _map(found.get("variables")), _map(found.get("secrets"))
    return {f"variables.{name}": _text(value) for name, value in variables.items()} | {
        f"secrets.{name}": "set" for name in secrets
    }


def _synchronous(body: Mapping[str, Any]) -> dict[str, Any]:
    found = _map(body.get("synchronous"))
    return {name: _whole(found.get(name)) for name in ("min_scale", "max_scale")}


def _whole(value: object) -> int:
    text = _text(value)
    return int(text) if text.isdecimal() else 0


def _expose(body: Mapping[str, Any]) -> dict[str, Any]:
    """Nothing of a service without a port: then the rest has no meaning."""
    found = _map(body.get("expose"))
    ports = numbers(found.get("api_port"))
    if not ports:
        return {}
    return {
        "api_port": ports,
        "nodePort": numbers(found.get("nodePort")),
        **{name: _whole(found.get(name)) for name in ("min_scale", "max_scale", "cpu_threshold")},
        **{
            name: truth(found.get(name))
            for name in ("rewrite_target", "default_command", "set_auth")
        },
        "auth_type": _text(found.get("auth_type")).replace("basic", ""),
        "health_path": _text(found.get("health_path")) or "/",
    }


def _federation(body: Mapping[str, Any]) -> dict[str, Any]:
    found = _map(body.get("federation"))
    members = found.get("members")
    topology = _text(found.get("topology"))
    return {
        "topology": "" if topology == "none" else topology,
        "delegation": _text(found.get("delegation")),
        "rescheduler_threshold": _whole(found.get("rescheduler_threshold")),
        "members": tuple(
            _member(one) for one in (members if isinstance(members, list) else ()) if _map(one)
        ),
    }


def _member(value: Mapping[str, Any]) -> str:
    names = ("type", "cluster_id", "service_name", "url", "priority")
    words = [f"{name}={_text(value.get(name))}" for name in names if value.get(name)]
    return " ".join([*words, "" if truth(value.get("ssl_verify", True)) else "insecure"]).strip()


def _volume(body: Mapping[str, Any]) -> dict[str, Any]:
    """A volume is called like its service unless it says otherwise."""
    found = _map(body.get("volume"))
    if not found:
        return {}
    policy = _text(found.get("lifecycle_policy"))
    return {
        "name": _text(found.get("name")) or _text(body.get("name")),
        "size": _memory(found.get("size")),
        "mount_path": _text(found.get("mount_path")),
        "lifecycle_policy": "" if policy == "delete" else policy,
    }


def _kserve(body: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_leaves(_map(body.get("kserve"))))


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, one in value.items():
        path = f"{prefix}{key}"
        if isinstance(one, Mapping):
            yield from _leaves(one, f"{path}.")
        elif isinstance(one, list):
            yield path, tuple(map(str, one))
        else:
            yield path, _text(one)


_MAPS: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "environment": _environment,
    "synchronous": _synchronous,
    "expose": _expose,
    "federation": _federation,
    "volume": _volume,
    "kserve": _kserve,
}


def _providers(
    body: Mapping[str, Any], wanted: Mapping[str, Any], there: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Settings of the providers that we send, as far as the cluster shows them.

    A cluster has providers of its own, and its own MinIO whatever was sent.
    """
    for kind, named in _map(wanted.get("storage_providers")).items():
        for name, fields in named.items():
            shown = _provider(there, kind, name)
            for key, value in fields.items():
                known = not isinstance(value, Secret) and value is not None
                if known and (kind, name) != ("minio", "default") and (key in shown or not shown):
                    yield (
                        f"storage_providers.{kind}.{name}.{key}",
                        _plain(_provider(body, kind, name).get(key)),
                    )


def _provider(body: Mapping[str, Any], kind: str, name: str) -> Mapping[str, Any]:
    return _map(_map(_map(body.get("storage_providers")).get(kind)).get(name))


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else _text(value).rstrip("/")
