"""A file's services placed together, and what their data costs between them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from bridge.cli.output import console, money, seconds, table
from bridge.errors import PlacementError, UsageError
from bridge.scheduler import (
    Hop,
    Link,
    Together,
    Totals,
    decide_together,
    policy_named,
    snapshot_of,
)

if TYPE_CHECKING:
    from bridge.fdl.model import Document
    from bridge.pipeline import Pipeline

__all__ = ["check_policy", "placed", "print_whole", "whole_json"]


def check_policy(policy: str) -> None:
    """UsageError for a policy that there is not; "" is none."""
    if not policy:
        return
    try:
        policy_named(policy)
    except PlacementError as error:
        raise UsageError(f"--policy: {error.message}", hint=error.hint) from error


def placed(document: Document, pipeline: Pipeline, policy: str) -> Together:
    """The decision for each service before any job, pipelines as a whole."""
    check_policy(policy)
    order = {stage.name: place for place, stage in enumerate(pipeline.stages)}
    edges = sorted(pipeline.edges, key=lambda edge: order[edge.writer])
    links = [Link(edge.writer, edge.reader, str(edge.output.provider)) for edge in edges]
    return decide_together(document.services, links, snapshot_of(document), policy=policy or None)


def print_whole(found: Together) -> None:
    """The crossings with their price, and whether the whole differs from each service alone."""
    if not found.hops:
        return
    out, crossings = console(), [way for way in found.hops if way.crosses]
    if crossings:
        title = f"crossings between sites, for each object of {found.size / 1e6:g} MB"
        rows = [_row(way) for way in crossings]
        columns = ("from", "to", "by way of", "takes", "USD")
        out.print(table(columns, rows, title=title, shortened=("from", "to", "by way of")))
    out.print(_sentence(found), markup=False)


def _row(way: Hop) -> tuple[str, ...]:
    return (
        _end(way.link.writer, way.origin),
        _end(way.link.reader, way.destination),
        way.link.provider,
        seconds(way.seconds),
        money(way.cost),
    )


def _end(service: str, target: str) -> str:
    return f"{service} ({target})" if service else "outside"


def _sentence(found: Together) -> str:
    whole = f"the pipeline as a whole: {_said(found.whole)} for an object through all stages"
    if not found.moved:
        return f"{whole}, with each service where it would be alone"
    sure = "" if found.exact else " (the best way that was found)"
    return f"{whole}{sure}; each service alone: {_said(found.alone)}"


def _said(totals: Totals) -> str:
    price = f"{money(totals.cost)} USD" if totals.cost else "free"
    count = "1 crossing" if totals.crossings == 1 else f"{totals.crossings} crossings"
    return f"{seconds(totals.seconds)}, {price}, {count}"


def whole_json(found: Together) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "object_bytes": found.size,
        "exact": found.exact,
        "moved": list(found.moved),
        "whole": _totals(found.whole),
        "alone": _totals(found.alone),
        "hops": [
            {
                "from": way.link.writer,
                "origin": way.origin,
                "to": way.link.reader,
                "destination": way.destination,
                "provider": way.link.provider,
                "seconds": way.seconds,
                "cost": _text(way.cost),
                "crosses": way.crosses,
            }
            for way in found.hops
        ],
    }


def _totals(found: Totals) -> dict[str, Any]:
    return {
        "seconds": found.seconds,
        "cost": _text(found.cost),
        "crossings": found.crossings,
    }


def _text(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
