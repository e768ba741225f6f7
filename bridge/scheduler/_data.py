"""The dated data files of this package, read once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def table(name: str) -> Mapping[str, Any]:
    """One TOML file of `data/`; its numbers with a point are exact decimals."""
    text = files("bridge.scheduler").joinpath("data", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text, parse_float=Decimal)


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds until a job's container is up, and how many of them are billed.

    `warm` are the seconds where a container waits for jobs, None where none ever does; `kept` those
    for which it waits, 0 where that is not said.
    """

    seconds: float
    billed: float
    warm: float | None = None
    kept: float = 0.0


@cache
def start_of(kind: str) -> Start:
    """Typical start of a kind of target (the keys of `starts.toml`)."""
    found = table("starts")[kind]
    warm = found.get("warm")
    seconds, billed = float(found["seconds"]), float(found["billed"])
    kept = float(found.get("kept", 0))
    return Start(seconds, billed, None if warm is None else float(warm), kept)


@cache
def carbon_per_hour(region: str) -> float | None:
    """Grams of CO2e of a busy vCPU of AWS for an hour, by the averages of `carbon.toml`; None for a
    region that has no figure there."""
    found = table("carbon")
    grams, vcpu = found["regions"].get(region), found["vcpu"]
    if grams is None:
        return None
    watts = vcpu["idle"] + vcpu["load"] * (vcpu["full"] - vcpu["idle"])
    return float(watts * vcpu["pue"] / 1000 * grams)


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is taken for granted where nothing was measured; see `assumptions.toml`."""

    run_seconds: float
    hint_confidence: float
    run_annotation: str
    price_fallback_trust: float
    output_ratio: float
    object_bytes: int
    image_bytes: int
    freshness_half_life: float
    deadline_margin: float
    deadline_run_margin: float
    deadline_look: float
    hedge_factor: float
    hedge_least: float
    seconds_per_byte: Mapping[str, float]


@cache
def assumptions() -> Assumptions:
    """The assumptions of `assumptions.toml`."""
    found = table("assumptions")
    speeds = {k: 1 / (float(v) * 1e6) for k, v in found["bandwidth_mb_per_second"].items()}
    return Assumptions(
        run_seconds=float(found["run_seconds"]),
        hint_confidence=float(found["hint_confidence"]),
        run_annotation=str(found["run_annotation"]),
        price_fallback_trust=float(found["price_fallback_trust"]),
        output_ratio=float(found["output_ratio"]),
        object_bytes=int(found["object_mb"] * 1_000_000),
        image_bytes=int(found["image_mb"] * 1_000_000),
        freshness_half_life=float(found["freshness_half_life"]),
        deadline_margin=float(found["deadline_margin"]),
        deadline_run_margin=float(found["deadline_run_margin"]),
        deadline_look=float(found["deadline_look"]),
        hedge_factor=float(found["hedge_factor"]),
        hedge_least=float(found["hedge_least"]),
        seconds_per_byte=speeds,
    )
