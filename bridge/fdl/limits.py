"""Limits of the platforms as dated data: what a file may ask for, and who says so.

`limits()` reads `data/limits.toml` once. A limit's name is `<section>.<entry>` of that file, for
example `lambda.memory`. Prices are not here: they belong to the scheduler.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Limit", "fargate_sizes", "limits"]


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit. Only what applies is set; numbers are in `unit`, `date` is ISO 8601.

    `sizes` maps a number of vCPUs, as text, to the allowed MiB of memory.
    """

    name: str
    source: str
    date: str
    min: int | None = None
    max: int | None = None
    value: int | None = None
    values: tuple[int, ...] = ()
    pattern: str = ""
    unit: str = ""
    what: str = ""
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def broken_by(self, value: Any) -> bool:
        """True when a number is out of bounds or a text does not match the whole pattern."""
        if self.pattern:
            return re.fullmatch(self.pattern, str(value)) is None
        if self.values:
            return value not in self.values
        low = self.min is not None and value < self.min
        return low or (self.max is not None and value > self.max)

    @property
    def bounds(self) -> str:
        """What is allowed, in words: `128 to 10240 MB`."""
        if self.pattern:
            return self.what
        if self.values:
            text = "one of " + ", ".join(map(str, self.values))
        elif self.min is None:
            text = f"at most {self.max}"
        elif self.max is None:
            text = f"at least {self.min}"
        else:
            text = f"{self.min} to {self.max}"
        return f"{text} {self.unit}".strip()


@cache
def limits() -> Mapping[str, Limit]:
    """Every limit by its name."""
    import tomllib  # noqa: PLC0415 - keeps `import bridge.fdl` light

    path = Path(__file__).with_name("data") / "limits.toml"
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        f"{section}.{entry}": _limit(f"{section}.{entry}", raw)
        for section, entries in document.items()
        for entry, raw in entries.items()
    }


def fargate_sizes(vcpus: object) -> tuple[int, ...]:
    """The MiB of memory that a Fargate job with that many vCPUs may have; empty: no such size."""
    sizes = limits()["batch.fargate"].sizes
    return next((sizes[key] for key in sizes if float(key) == float(str(vcpus))), ())


def _limit(name: str, raw: dict[str, Any]) -> Limit:
    known = {key: value for key, value in raw.items() if key not in ("date", "values", "sizes")}
    return Limit(
        name=name,
        date=str(raw["date"]),
        values=tuple(raw.get("values", ())),
        sizes={cpu: _steps(memory) for cpu, memory in raw.get("sizes", {}).items()},
        **known,
    )


def _steps(raw: list[int] | dict[str, int]) -> tuple[int, ...]:
    if isinstance(raw, list):
        return tuple(raw)
    return tuple(range(raw["min"], raw["max"] + 1, raw["step"]))
