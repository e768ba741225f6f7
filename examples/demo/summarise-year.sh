#!/bin/sh
# One year of days in (CSV), the same days and their monthly figures out (JSON). Needs python3.
set -eu
exec python3 - "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR" <<'PYTHON'
import csv
import json
import pathlib
import sys
from statistics import fmean

source, output = map(pathlib.Path, sys.argv[1:])
days = [
    {
        "date": row["date"].replace("/", "-"),
        "low": float(row["temp_min"]),
        "high": float(row["temp_max"]),
        "rain": float(row["precipitation"]),
        "weather": row["weather"],
    }
    for row in csv.DictReader(source.open())
]
months = []
for month in sorted({day["date"][5:7] for day in days}):
    part = [day for day in days if day["date"][5:7] == month]
    months.append(
        {
            "month": int(month),
            "mean": round(fmean((day["low"] + day["high"]) / 2 for day in part), 2),
            "rain": round(sum(day["rain"] for day in part), 1),
            "wet_days": sum(day["rain"] >= 1 for day in part),
        }
    )
summary = {
    "year": int(days[0]["date"][:4]),
    "mean": round(fmean((day["low"] + day["high"]) / 2 for day in days), 2),
    "rain": round(sum(day["rain"] for day in days), 1),
    "hottest": max(days, key=lambda day: day["high"]),
    "coldest": min(days, key=lambda day: day["low"]),
    "wettest": max(days, key=lambda day: day["rain"]),
    "months": months,
    "days": days,
}
(output / f"{source.stem}.json").write_text(json.dumps(summary))
print(f"{summary['year']}: mean {summary['mean']} °C, {summary['rain']} mm of rain")
PYTHON
