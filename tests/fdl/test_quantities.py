from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.fdl import quantities as q


@pytest.mark.parametrize(
    ("text", "cores"),
    [("1", "1"), ("0.5", "0.5"), (".5", "0.5"), ("500m", "0.5"), (" 2.0 ", "2"), ("1e1", "10")],
)
def test_cpu(text: str, cores: str) -> None:
    assert q.cpu(text) == Decimal(cores)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("1Ki", 1024),
        ("1Gi", 2**30),
        ("0.5Gi", 2**29),
        ("128M", 128_000_000),
        ("1k", 1000),
        ("1e3", 1000),
        ("1500m", 2),
        ("2Ti", 2**41),
    ],
)
def test_memory(text: str, size: int) -> None:
    assert q.memory(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), ("120s", 120), ("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("1.5", 1.5)],
)
def test_duration(text: str, seconds: float) -> None:
    assert q.duration(text) == seconds


@pytest.mark.parametrize("text", ["0.05 USD", "0.05", "$0.05", "0.05usd", "0.050 $"])
def test_money(text: str) -> None:
    assert q.money(text) == Decimal("0.05")


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "0", "1Gb", "1K", "1e999999999", "nan", "inf", "1 2"]
)
@pytest.mark.parametrize("read", [q.cpu, q.memory, q.duration])
def test_wrong_amounts_say_how_to_write_them(read: object, text: str) -> None:
    with pytest.raises(q.QuantityError) as caught:
        read(text)  # type: ignore[operator]
    assert caught.value.hint.startswith("write ")


@pytest.mark.parametrize("text", ["", "free", "5 EUR", "-1", "1,5", "nan"])
def test_wrong_money(text: str) -> None:
    with pytest.raises(q.QuantityError):
        q.money(text)


@pytest.mark.parametrize("text", ["9" * 40, "999999999999Ei", "٣"])
def test_amounts_that_nothing_has(text: str) -> None:
    with pytest.raises(q.QuantityError):
        q.memory(text)


@given(st.integers(1, 2**62))
def test_memory_text_is_read_back(size: int) -> None:
    assert q.memory(q.format_memory(size)) == size


@given(st.decimals("0.001", 10_000, places=3))
def test_cpu_text_is_read_back(cores: Decimal) -> None:
    assert q.cpu(q.format_cpu(cores)) == cores


@given(st.integers(1, 10**9).map(lambda n: n / 1000))
def test_duration_text_is_read_back(seconds: float) -> None:
    assert q.duration(q.format_duration(seconds)) == seconds


@given(st.decimals(0, 1000, places=6))
def test_money_text_is_read_back(usd: Decimal) -> None:
    assert q.money(q.format_money(usd)) == usd
