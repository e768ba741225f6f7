"""Filters, score terms and policies of other installed packages, by entry point.

Groups: `oscar_bridge.filters` (a function of service, offer and state that gives a sentence, or
""), `oscar_bridge.terms` (a `TermKind`) and `oscar_bridge.policies` (a `Policy`). Names have a dot.
Filters are asked wherever they are installed; terms and policies only where a file names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeVar

from bridge.errors import PlacementError
from bridge.fdl import plugins
from bridge.fdl.model import Service
from bridge.scheduler._filters import Passing
from bridge.scheduler.model import Offer, Reason, TargetState

_T = TypeVar("_T")
Check = Callable[[Service, Offer, TargetState], str]
_WORDS: Final = {
    plugins.FILTERS: "filter",
    plugins.TERMS: "score term",
    plugins.POLICIES: "policy",
}


def found(group: str, name: str, kind: type[_T]) -> _T | None:
    """What is installed under a name, None when nothing is.

    PlacementError when it cannot be loaded or is not what it should be.
    """
    made = _load(group, name) if "." in name else None
    if made is not None and not isinstance(made, kind):
        raise PlacementError(f"{_called(group, name)} is not a {kind.__name__}: {made!r}")
    return made


def filtered(service: Service, offer: Offer, state: TargetState) -> tuple[Reason, ...]:
    """What the installed filters have against a target.

    One that breaks, or answers with what is no text, is against it: nobody knows what it would say.
    """
    checks = _filters()
    if not checks:
        return ()
    return tuple(
        Reason(name, str(said), isinstance(said, Passing))
        for name, check in checks.items()
        if (said := _asked(name, check, service, offer, state))
    )


@cache
def _filters() -> Mapping[str, Check]:
    names = plugins.installed(plugins.FILTERS)
    return {name: _load(plugins.FILTERS, name) for name in sorted(names)}


def _asked(name: str, check: Check, service: Service, offer: Offer, state: TargetState) -> str:
    try:
        said = check(service, offer, state)
    except Exception as error:
        return Passing(f"{_called(plugins.FILTERS, name)} broke: {error!r}")
    return (
        said
        if isinstance(said, str)
        else Passing(f"{_called(plugins.FILTERS, name)} gave no text: {said!r}")
    )


@cache
def _load(group: str, name: str) -> Any:
    ways = plugins.installed(group).get(name, ())
    if not ways:
        return None
    if len(ways) > 1:
        raise PlacementError(f"{len(ways)} installed packages have the {_WORDS[group]} {name}")
    if "." not in name:
        raise PlacementError(
            f"{_called(group, name)} has a name without a dot", hint=f"call it <package>.{name}"
        )
    try:
        return ways[0].load()
    except Exception as error:
        raise PlacementError(f"{_called(group, name)} cannot be loaded: {error!r}") from error


def _called(group: str, name: str) -> str:
    way = plugins.installed(group)[name][0]
    package = way.dist.name if way.dist else way.value
    return f"the {_WORDS[group]} {name} of {package}"


def forget() -> None:
    """Look again at what is installed."""
    for each in (plugins.installed, _filters, _load):
        each.cache_clear()
