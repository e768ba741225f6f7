"""How a cluster is reached, and what all pods of ours there have: `settings` of a target in FDL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

from bridge.errors import PermanentError
from bridge.fdl import quantities
from bridge.fdl.model import TargetSpec

__all__ = [
    "DEFAULT_NAMESPACE",
    "ClusterSettings",
    "Growth",
    "mapping",
    "seconds",
    "text",
    "texts",
]

DEFAULT_NAMESPACE: Final = "oscar-svc"

Reader = Callable[[object], Any]


def text(value: object) -> str:
    """Text; ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


def texts(value: object) -> tuple[str, ...]:
    """A list of texts, or a single one; ValueError for anything else."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(one, str) for one in items):
        raise ValueError("must be a list of texts")
    return tuple(items)


def seconds(value: object) -> float:
    """A number of seconds, 0 or more; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError("must be a number of seconds, 0 or more")
    return float(value)


def mapping(value: object) -> Mapping[str, Any]:
    """A mapping; ValueError for anything else."""
    if not isinstance(value, Mapping):
        raise ValueError("must be a mapping")
    return {str(key): item for key, item in value.items()}


def _labels(value: object) -> Mapping[str, str]:
    return {key: str(item) for key, item in mapping(value).items()}


def _tolerations(value: object) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of tolerations")
    return tuple(mapping(one) for one in value)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("must be a whole number, 0 or more")
    return value


@dataclass(frozen=True, slots=True)
class Growth:
    """What an autoscaler, CLUES too, may add: nodes until the cluster has `max_nodes`.

    Each has `node_cpu` cores, `node_memory` bytes and `node_gpu` GPUs, and takes jobs `delay`
    seconds after it was missed.
    """

    max_nodes: int
    node_cpu: Decimal
    node_memory: int
    node_gpu: int = 0
    delay: float = 120.0


_GROWTH: Final[Mapping[str, Reader]] = {
    "max_nodes": _whole,
    "node_cpu": lambda value: quantities.cpu(str(value)),
    "node_memory": lambda value: quantities.memory(str(value)),
    "node_gpu": _whole,
    "delay": seconds,
}


def _growth(value: object) -> Growth:
    given = mapping(value)
    for name in given:
        if name not in _GROWTH:
            raise ValueError(f"has no {name} ({_hint(name, _GROWTH)})")
    for name in ("max_nodes", "node_cpu", "node_memory"):
        if name not in given:
            raise ValueError(f"must have {name}")
    return Growth(**{name: _GROWTH[name](one) for name, one in given.items()})


def _read(reader: Reader) -> Any:
    return {"reader": reader}


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """How to reach a cluster, and what is the same for all pods there. Times are in seconds.

    Without `kubeconfig` it is KUBECONFIG's, else the cluster that this process runs in, else
    `~/.kube/config`. Without `namespace` it is the context's, else `oscar-svc`. `runtime_image` is
    the image that brings the runtime; "" for the name that `oscar-bridge runtime image` gives it.
    `image_pull_secrets`, `node_selector` and `tolerations` are for all pods of all services.
    `gateway` is the URL of Knative's ingress, for a caller that is not inside of the cluster.
    A finished Job stays for `job_ttl`. A job whose pod cannot start for `start_timeout` fails.
    A pod is killed `deadline_grace` after its service's own time limit. The cluster's free capacity
    is read anew when it is `capacity_age` old, and `autoscaler` says what may be added to it.
    """

    kubeconfig: str = field(default="", metadata=_read(text))
    context: str = field(default="", metadata=_read(text))
    namespace: str = field(default="", metadata=_read(text))
    runtime_image: str = field(default="", metadata=_read(text))
    image_pull_secrets: tuple[str, ...] = field(default=(), metadata=_read(texts))
    node_selector: Mapping[str, str] = field(default_factory=dict, metadata=_read(_labels))
    tolerations: tuple[Mapping[str, Any], ...] = field(default=(), metadata=_read(_tolerations))
    gateway: str = field(default="", metadata=_read(text))
    job_ttl: float = field(default=2_592_000.0, metadata=_read(seconds))
    start_timeout: float = field(default=900.0, metadata=_read(seconds))
    deadline_grace: float = field(default=3600.0, metadata=_read(seconds))
    capacity_age: float = field(default=15.0, metadata=_read(seconds))
    autoscaler: Growth | None = field(default=None, metadata=_read(_growth))

    @classmethod
    def of(cls, spec: TargetSpec) -> ClusterSettings:
        """The settings of a target; PermanentError names the first that is unknown or wrong."""
        readers: dict[str, Reader] = {one.name: one.metadata["reader"] for one in fields(cls)}
        found = {}
        for name, value in spec.settings.items():
            where = f"target {spec.name}: settings.{name}"
            if name not in readers:
                raise PermanentError(f"{where} is not a setting", hint=_hint(name, readers))
            try:
                found[name] = readers[name](value)
            except ValueError as error:
                raise PermanentError(f"{where} {error}, not {value!r}") from None
        return cls(**found)


def _hint(name: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(name, known, 1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(known))}"
