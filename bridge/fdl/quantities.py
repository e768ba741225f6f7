"""Amounts as people write them: `500m`, `1Gi`, `120s`, `0.05 USD`, and back to text.

Every reader takes the text as it stands in the file and raises QuantityError, a ValueError whose
message says what is wrong and whose `hint` says how to write it. All amounts are finite and not
negative; cpu, memory and durations are more than zero.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

__all__ = [
    "QuantityError",
    "cpu",
    "duration",
    "format_cpu",
    "format_duration",
    "format_memory",
    "format_money",
    "memory",
    "money",
    "resource",
]

_NUMBER: Final = r"(?P<number>[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,18})?|\.[0-9]{1,18}))"
_QUANTITY: Final = re.compile(
    _NUMBER + r"(?:[eE](?P<exponent>[+-]?[0-9]{1,2}))?(?P<unit>[A-Za-z]*)"
)
_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_MONEY: Final = re.compile(r"\$?\s*" + _NUMBER + r"\s*(?P<unit>[A-Za-z€£¥$]*)")

_UNITS: Final = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}
_SECONDS: Final = {"ms": "0.001", "s": "1", "m": "60", "h": "3600", "d": "86400"}
_BINARY: Final = tuple(
    reversed([(f"{unit}i", 1024**power) for power, unit in enumerate("KMGTPE", 1)])
)
_SMALL: Final = {"n": Decimal("1e-9"), "u": Decimal("1e-6")}
_CPU_HINT: Final = "write cores such as 0.5, or thousandths such as 500m"
_MEMORY_HINT: Final = "write bytes with a unit, such as 512Mi, 1Gi or 128M"
_DURATION_HINT: Final = "write seconds such as 120, or a time such as 120s, 5m or 1h30m"
_MONEY_HINT: Final = "write US dollars such as 0.05 USD"


class QuantityError(ValueError):
    """The text is not the amount that is wanted; `hint` says how to write it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def cpu(text: str) -> Decimal:
    """Cores: `2`, `0.5`, `500m`."""
    value = _quantity(text, "an amount of CPU", _CPU_HINT)
    if value > 1_000_000:
        raise QuantityError(f"{text.strip()!r} is more CPU than any machine has", _CPU_HINT)
    return value.normalize() if value != value.to_integral_value() else Decimal(int(value))


def memory(text: str) -> int:
    """Bytes: `1Gi`, `128M`, `512` (bytes, as in Kubernetes); a part of a byte is rounded up."""
    value = _quantity(text, "an amount of memory", _MEMORY_HINT)
    if value > 2**62:
        raise QuantityError(f"{text.strip()!r} is more memory than any machine has", _MEMORY_HINT)
    return int(value.to_integral_value(ROUND_CEILING))


def duration(text: str) -> float:
    """Seconds: `120`, `120s`, `5m`, `1h30m`, `500ms`."""
    plain = text.strip()
    parts = _DURATION.findall(plain)
    if re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", plain):
        value = Decimal(plain)
    elif parts and "".join(number + unit for number, unit in parts) == plain:
        value = sum(
            (Decimal(number) * Decimal(_SECONDS[unit]) for number, unit in parts), Decimal(0)
        )
    else:
        raise QuantityError(f"{plain!r} is not a duration", _DURATION_HINT)
    if not value:
        raise QuantityError("a duration must be more than 0", _DURATION_HINT)
    return float(value)


def money(text: str) -> Decimal:
    """US dollars: `0.05 USD`, `0.05`, `$0.05`."""
    match = _MONEY.fullmatch(text.strip())
    if match is None:
        raise QuantityError(f"{text.strip()!r} is not an amount of money", _MONEY_HINT)
    if match["unit"].upper() not in ("", "USD", "$"):
        raise QuantityError(f"{match['unit']!r} is not a currency that is known here", _MONEY_HINT)
    value = Decimal(match["number"])
    if value < 0:
        raise QuantityError("an amount of money must not be negative", _MONEY_HINT)
    return value


def resource(text: str) -> Decimal:
    """An amount as the Kubernetes API writes it: any unit, also `n` and `u`; 0 and less too."""
    plain = text.strip()
    match = _QUANTITY.fullmatch(plain)
    unit = (_UNITS | _SMALL).get(match["unit"]) if match else None
    if match is None or unit is None:
        raise QuantityError(f"{plain!r} is not an amount", "write it as Kubernetes does")
    return Decimal(match["number"]) * unit * Decimal(10) ** int(match["exponent"] or 0)


def format_cpu(value: Decimal) -> str:
    """Cores as `cpu` reads them."""
    return f"{value:f}"


def format_memory(value: int) -> str:
    """Bytes in the largest binary unit that keeps them exact."""
    for unit, size in _BINARY:
        if value >= size and value % size == 0:
            return f"{value // size}{unit}"
    return str(value)


def format_duration(value: float) -> str:
    """Seconds as `duration` reads them."""
    exact = Decimal(repr(value))
    return f"{int(exact)}s" if exact == exact.to_integral_value() else f"{exact:f}s"


def format_money(value: Decimal) -> str:
    """US dollars as `money` reads them."""
    return f"{value:f} USD"


def _quantity(text: str, what: str, hint: str) -> Decimal:
    plain = text.strip()
    match = _QUANTITY.fullmatch(plain)
    if match is None:
        raise QuantityError(f"{plain!r} is not {what}", hint)
    unit = _UNITS.get(match["unit"])
    if unit is None or (match["exponent"] and match["unit"]):
        raise QuantityError(f"{plain!r} has the unknown unit {match['unit']!r}", hint)
    value = Decimal(match["number"]) * unit * Decimal(10) ** int(match["exponent"] or 0)
    if value <= 0:
        raise QuantityError(f"{what} must be more than 0, not {plain}", hint)
    return value
