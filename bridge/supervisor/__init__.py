"""What runs beside the user's script: stage in, script, stage out, report.

The names are loaded at their first use, so that an entry imports only what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.supervisor._lazy import defer
    from bridge.supervisor._signals import Terminated
    from bridge.supervisor._signals import arrived as signal_arrived
    from bridge.supervisor._signals import install as install_signals
    from bridge.supervisor.config import PathConfig, ServiceConfig, parse_service
    from bridge.supervisor.job import TEXT_LIMIT, run_job
    from bridge.supervisor.once import Order, orders, refusal, run_once, run_orders, writer
    from bridge.supervisor.reply import sync_body
    from bridge.supervisor.report import Report, parse_report, write_report
    from bridge.supervisor.sources import load_event, load_service, work_base
    from bridge.supervisor.stores import (
        SecretSource,
        StoreFactory,
        folder_secrets,
        managed_secrets,
        script_secrets,
        secret_source,
        stores_for,
    )

_HOMES = {
    "Order": "once",
    "PathConfig": "config",
    "Report": "report",
    "SecretSource": "stores",
    "ServiceConfig": "config",
    "StoreFactory": "stores",
    "TEXT_LIMIT": "job",
    "Terminated": "_signals",
    "defer": "_lazy",
    "folder_secrets": "stores",
    "install_signals": "_signals",
    "load_event": "sources",
    "load_service": "sources",
    "managed_secrets": "stores",
    "orders": "once",
    "parse_report": "report",
    "parse_service": "config",
    "refusal": "once",
    "run_job": "job",
    "run_once": "once",
    "run_orders": "once",
    "script_secrets": "stores",
    "secret_source": "stores",
    "signal_arrived": "_signals",
    "stores_for": "stores",
    "sync_body": "reply",
    "work_base": "sources",
    "write_report": "report",
    "writer": "once",
}
_OTHER_NAMES = {"install_signals": "install", "signal_arrived": "arrived"}

__all__ = [
    "TEXT_LIMIT",
    "Order",
    "PathConfig",
    "Report",
    "SecretSource",
    "ServiceConfig",
    "StoreFactory",
    "Terminated",
    "defer",
    "folder_secrets",
    "install_signals",
    "load_event",
    "load_service",
    "managed_secrets",
    "orders",
    "parse_report",
    "parse_service",
    "refusal",
    "run_job",
    "run_once",
    "run_orders",
    "script_secrets",
    "secret_source",
    "signal_arrived",
    "stores_for",
    "sync_body",
    "work_base",
    "write_report",
    "writer",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), _OTHER_NAMES.get(name, name))
