"""Plots as plain SVG: panels with points or lines on axes that may be logarithmic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import Final

WIDTH, HEIGHT = 330, 250  # of a panel, in pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 30, 40
COLOURS: Final = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#000000",
    "#8c6d31",
    "#999999",
    "#7b3294",
    "#a6611a",
    "#4d9221",
    "#c51b7d",
    "#5e4fa2",
)


@dataclass(frozen=True, slots=True)
class Curve:
    """Points under a name, which gives them their colour; `joined` by a line or not."""

    name: str
    points: Sequence[tuple[float, float]]
    joined: bool = False
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot. `ticks` names the whole numbers of x from 0, which is then not logarithmic."""

    title: str
    x: str
    y: str
    curves: Sequence[Curve]
    ticks: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    log: bool

    def at(self, value: float) -> float:
        """From 0 to 1."""
        low, high, here = (
            (log10(v) for v in (self.low, self.high, value))
            if self.log
            else (self.low, self.high, value)
        )
        return (here - low) / (high - low)

    def marks(self) -> list[float]:
        """Where a number stands: the sparsest round numbers of which there are three or more."""
        powers = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
            every = [digit * 10.0**power for power in powers for digit in digits]
            inside = [mark for mark in every if self.low <= mark <= self.high]
            if len(inside) >= 3:
                break
        return inside


def _axis(values: Sequence[float]) -> _Axis:
    low, high = min(values), max(values)
    return _Axis(low / 1.15, max(high, low * 1.2) * 1.15, log=True)


def figure(panels: Sequence[Panel], columns: int) -> str:
    """The panels in rows, with one legend for all below them. Values must be above 0."""
    names = list(dict.fromkeys(curve.name for panel in panels for curve in panel.curves))
    ours = {curve.name for panel in panels for curve in panel.curves if curve.ours}
    rows = -(-len(panels) // columns)
    legend_rows = -(-len(names) // (columns * 2))
    width, height = columns * WIDTH, rows * HEIGHT + 20 * legend_rows + 12
    colour = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for place, panel in enumerate(panels):
        across, down = place % columns, place // columns
        parts.append(f'<g transform="translate({across * WIDTH},{down * HEIGHT})">')
        parts += [*_panel(panel, colour), "</g>"]
    for place, name in enumerate(names):
        x = 20 + (place % (columns * 2)) * (WIDTH // 2)
        y = rows * HEIGHT + 16 + 20 * (place // (columns * 2))
        parts.append(_mark(x, y - 4, colour[name], name in ours))
        weight = ' font-weight="bold"' if name in ours else ""
        parts.append(f'<text x="{x + 10}" y="{y}"{weight}>{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, colour: dict[str, str]) -> list[str]:
    points = [point for curve in panel.curves for point in curve.points]
    inner_w, inner_h = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    named = bool(panel.ticks)
    xs = _Axis(-0.3, len(panel.ticks) - 0.7, log=False) if named else _axis([x for x, _ in points])
    ys = _axis([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        return round(_LEFT + xs.at(x) * inner_w, 1), round(_TOP + (1 - ys.at(y)) * inner_h, 1)

    middle, foot = _LEFT + inner_w / 2, HEIGHT - _BOTTOM
    parts = [
        f'<text x="{middle}" y="16" text-anchor="middle" font-weight="bold">'
        f"{escape(panel.title)}</text>",
        f'<rect x="{_LEFT}" y="{_TOP}" width="{inner_w}" height="{inner_h}" fill="none" '
        'stroke="#888"/>',
        f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(panel.x)}</text>',
        f'<text x="12" y="{_TOP + inner_h / 2}" text-anchor="middle" '
        f'transform="rotate(-90 12 {_TOP + inner_h / 2})">{escape(panel.y)}</text>',
    ]
    marks = list(enumerate(panel.ticks)) if named else [(m, f"{m:g}") for m in xs.marks()]
    for value, text in marks:
        x, _ = place(value, ys.low)
        parts.append(f'<text x="{x}" y="{foot + 14}" text-anchor="middle">{escape(text)}</text>')
    for value in ys.marks():
        y = place(xs.low, value)[1]
        parts.append(
            f'<path d="M{_LEFT} {y}h{inner_w}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 4}" y="{y + 4}" text-anchor="end">{value:g}</text>'
        )
    for curve in panel.curves:
        found = [place(x, y) for x, y in curve.points]
        tint = colour[curve.name]
        if curve.joined:
            line = " ".join(f"{x},{y}" for x, y in found)
            thick = 2.5 if curve.ours else 1.2
            parts.append(
                f'<polyline points="{line}" fill="none" stroke="{tint}" stroke-width="{thick}"/>'
            )
        parts += [_mark(x, y, tint, curve.ours, curve.name) for x, y in found]
    return parts


def _mark(x: float, y: float, tint: str, ours: bool, name: str = "") -> str:
    """Ours are discs, the others squares: who sees no colours sees whose it is."""
    title = f"<title>{escape(name)}</title>" if name else ""
    if ours:
        return f'<circle cx="{x}" cy="{y}" r="4.5" fill="{tint}">{title}</circle>'
    return f'<rect x="{x - 3}" y="{y - 3}" width="6" height="6" fill="{tint}">{title}</rect>'
