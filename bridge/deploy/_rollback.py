"""Back to what was deployed before."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bridge.deploy._history import Entry, History
from bridge.deploy._planner import plan
from bridge.deploy._stacks import Pace
from bridge.deploy.model import Plan
from bridge.errors import NotFoundError
from bridge.targets.aws.account import Account

__all__ = ["restoration"]


def restoration(name: str, account: Account, *, to: int = 0, pace: Pace | None = None) -> Plan:
    """The plan that brings a deployment back to an earlier entry of its history.

    `to` is its number, 0 for the last one that had other templates than now. Secrets and what
    buckets hold are not brought back. NotFoundError when there is no such entry.
    """
    history = History(account, name)
    entries = history.entries()
    chosen = _chosen(entries, to)
    if chosen is None:
        listed = ", ".join(str(one.number) for one in entries) or "none"
        what = f"entry {to}" if to else "earlier state"
        raise NotFoundError(
            f"the history of {name} has no {what} to go back to", hint=f"entries: {listed}"
        )
    assembly = history.assembly(chosen.position, name, account.settings.name)
    made = plan(assembly, account, pace=pace)
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(chosen.at))
    note = f"back to entry {chosen.position} of {at} by {chosen.by}; secrets stay as they are"
    return replace(made, restores=chosen.position, notes=(note, *made.notes))


def _chosen(entries: Sequence[Entry], to: int) -> Entry | None:
    """The entry of that number, else the last good one before the state that stands now."""
    by_number: Mapping[int, Entry] = {one.number: one for one in entries}
    if to or not entries:
        return by_number.get(to)
    now = entries[-1]
    before = [
        one
        for one in entries
        if one.number < now.position and not one.restores and one.digests != now.digests
    ]
    return next((one for one in reversed(before) if one.digests), None)
