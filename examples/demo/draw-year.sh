#!/bin/sh
# One year's summary in (JSON), a round poster of it out (SVG). Needs python3. Reads $STATION.
set -eu
exec python3 - "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR" "${STATION:-}" <<'PYTHON'
import colorsys
import datetime
import json
import math
import pathlib
import sys

source, output = map(pathlib.Path, sys.argv[1:3])
year = json.loads(source.read_text())
station = sys.argv[3] or source.stem
SIZE, INNER, STEP = 900, 120, 4.6
CENTRE = SIZE / 2


def radius(celsius):
    return INNER + (celsius + 12) * STEP


def point(day, distance):
    start = datetime.date(year["year"], 1, 1)
    length = (datetime.date(year["year"] + 1, 1, 1) - start).days
    angle = 2 * math.pi * (day - start).days / length - math.pi / 2
    return CENTRE + distance * math.cos(angle), CENTRE + distance * math.sin(angle)


def colour(celsius):
    warm = min(1, max(0, (celsius + 2) / 27))
    rgb = colorsys.hls_to_rgb((225 - 215 * warm) / 360, 0.46 + 0.08 * warm, 0.72)
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def text(x, y, size, words, extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="middle" {extra}>{words}</text>'


parts = [
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE + 60}" '
    'font-family="Helvetica, Arial, sans-serif" fill="#333">',
    f'<rect width="{SIZE}" height="{SIZE + 60}" fill="#fbfaf6"/>',
]
for ring in (0, 10, 20, 30):
    parts.append(
        f'<circle cx="{CENTRE}" cy="{CENTRE}" r="{radius(ring):.1f}" fill="none" stroke="#ddd8cc"/>'
    )
    parts.append(text(CENTRE, CENTRE - radius(ring) - 3, 11, f"{ring} °C", 'fill="#999"'))
for day in year["days"]:
    date = datetime.date.fromisoformat(day["date"])
    (x1, y1), (x2, y2) = point(date, radius(day["low"])), point(date, radius(day["high"]))
    shade = colour((day["low"] + day["high"]) / 2)
    parts.append(
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{shade}" '
        'stroke-width="3.2" stroke-linecap="round"/>'
    )
    if day["rain"]:
        x, y = point(date, 372)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{0.9 * math.sqrt(day["rain"]) + 0.6:.1f}" '
            'fill="#2b7bba" fill-opacity="0.45"/>'
        )
for month in year["months"]:
    date = datetime.date(year["year"], month["month"], 15)
    x, y = point(date, 420)
    parts.append(text(x, y, 15, date.strftime("%b"), 'font-weight="bold"'))
    parts.append(text(x, y + 15, 11, f"{month['rain']:.0f} mm", 'fill="#2b7bba"'))
parts.append(text(CENTRE, CENTRE - 12, 46, year["year"], 'font-weight="bold"'))
parts.append(text(CENTRE, CENTRE + 14, 17, station))
parts.append(text(CENTRE, CENTRE + 38, 13, f"{year['mean']:.1f} °C · {year['rain']:.0f} mm"))
hot, cold, wet = year["hottest"], year["coldest"], year["wettest"]
parts.append(
    text(
        CENTRE,
        SIZE + 30,
        14,
        f"hottest {hot['date']}: {hot['high']} °C · coldest {cold['date']}: {cold['low']} °C · "
        f"wettest {wet['date']}: {wet['rain']} mm",
    )
)
parts.append("</svg>")
(output / f"{source.stem}.svg").write_text("\n".join(parts))
print(f"drew {len(year['days'])} days of {year['year']}")
PYTHON
