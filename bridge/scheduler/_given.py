"""What a decision was made from, as JSON and back: the snapshot and what started the job.

Of each target there is what differs from a value's default, and of what is kept by service only the
decision's own. The spec's settings are left out: they may hold secrets, and no decision looks at
them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from bridge.errors import PlacementError
from bridge.fdl.model import TargetSpec
from bridge.scheduler.model import Cause, Decision, Estimate, Snapshot, TargetState

_T = TypeVar("_T")
_UNSAID: Final = frozenset(
    {"name", "settings", "implied", "place", "spec", "targets", "sizes", "smallest"}
)


def given(decision: Decision) -> dict[str, Any] | None:
    """The snapshot and the cause as plain values; None for a decision that does not know them."""
    snapshot = decision.snapshot
    if snapshot is None:
        return None
    found = _fields(snapshot, decision.service)
    if decision.cause is not None:
        found["cause"] = _fields(decision.cause, decision.service)
    found["targets"] = {
        state.spec.name: {
            "spec": _fields(state.spec, decision.service),
            **_fields(_for_size(state, decision), decision.service),
        }
        for state in snapshot.targets
    }
    return found


def _for_size(state: TargetState, decision: Decision) -> TargetState:
    """The state with the one estimate that the decision was made on."""
    run = state.runs.get(decision.service)
    if not isinstance(run, Estimate) or not run.sizes or decision.cause is None:
        return state
    run = run.of(decision.cause.size)
    return dataclasses.replace(state, runs={decision.service: run})


def snapshot_in(stored: Mapping[str, Any]) -> Snapshot:
    """The snapshot that a stored decision was made on, for the decision's own service.

    `stored` is what `as_json` wrote. PlacementError when it does not hold one: so it is with
    decisions that were stored before this was kept.
    """
    found = stored.get("given")
    if not isinstance(found, Mapping):
        raise PlacementError(
            "the stored decision does not say what it was made from",
            hint="it is older than what can be replayed",
        )
    service = str(stored.get("service", ""))
    try:
        states = tuple(
            _made(TargetState, values, service, spec=_spec(name, values["spec"], service))
            for name, values in found["targets"].items()
        )
        return _made(Snapshot, found, service, targets=states)
    except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
        raise PlacementError(f"not a stored decision: {error!r}") from error


def cause_in(stored: Mapping[str, Any]) -> Cause | None:
    """What started the job of a stored decision, as far as decisions look at it; None for nothing.

    It stands for the event where one decides again.
    """
    found = (stored.get("given") or {}).get("cause")
    return None if found is None else _made(Cause, found, "")


def _spec(name: str, values: Mapping[str, Any], service: str) -> TargetSpec:
    return _made(TargetSpec, values, service, name=name)


@cache
def _defaults(kind: Hashable) -> Mapping[str, Any]:
    """The fields of a value with their defaults, without those that are never written."""
    return {
        f.name: f.default_factory() if callable(f.default_factory) else f.default
        for f in dataclasses.fields(cast(type[Any], kind))
        if f.name not in _UNSAID
    }


def _fields(value: Any, service: str) -> dict[str, Any]:
    read, defaults = _getter(cast(Hashable, type(value)))
    values = read(value)
    if values == tuple(defaults.values()):
        return {}
    found = {}
    for said, (name, default) in zip(values, defaults.items(), strict=True):
        if said is default or said == default:
            continue
        if type(said) in _AS_THEY_ARE:
            found[name] = said
        elif not isinstance(said, Mapping):
            found[name] = _plain(said, service)
        elif service in said:
            found[name] = _plain(said[service], service)
    return found


@cache
def _getter(kind: Hashable) -> tuple[Callable[[Any], tuple[Any, ...]], Mapping[str, Any]]:
    """Reads the fields that are written all at once, with their defaults."""
    defaults = _defaults(kind)
    assert len(defaults) > 1, kind  # of one field an attrgetter gives no tuple
    return attrgetter(*defaults), defaults


_AS_THEY_ARE: Final = frozenset({int, str, bool})


def _plain(value: Any, service: str) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item, service) for item in value]
    return _fields(value, service) if dataclasses.is_dataclass(value) else value


def _made(kind: type[_T], values: Mapping[str, Any], service: str, **more: Any) -> _T:
    readers = _readers(cast(Hashable, kind))
    read = {name: readers[name](said, service) for name, said in values.items() if name in readers}
    return kind(**{**read, **more})


@cache
def _readers(kind: Hashable) -> Mapping[str, Callable[[Any, str], Any]]:
    hints = get_type_hints(kind)
    return {name: _reader(hints[name]) for name in _defaults(kind)}


def _reader(hint: Any) -> Callable[[Any, str], Any]:
    """What turns a plain value into one of the type that a field has."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _reader(next(each for each in inner if each is not NoneType))
    if origin is Mapping:
        read = _reader(inner[1])
        return lambda said, service: {service: read(said, service)}
    if origin is tuple:
        read = _reader(inner[0])
        return lambda said, service: tuple(read(each, service) for each in said)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return lambda said, service: _made(hint, said, service) if _is_map(said) else said
    make = _MAKERS.get(origin or hint)
    return (lambda said, _: make(said)) if make else (lambda said, _: said)


def _is_map(said: Any) -> bool:
    """Garbage that a target answered is kept, so that it is refused again."""
    return isinstance(said, Mapping)


def _number(said: Any) -> Any:
    """JSON has no infinity and no NaN; they are texts."""
    try:
        return float(said) if isinstance(said, str) else said
    except ValueError:
        return said


_MAKERS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    frozenset: frozenset,
    Decimal: Decimal,
    float: _number,
}
