"""Traces in the formats of published data sets, from their lines of text.

The column names are those of the data sets' own descriptions (read 2026-11-23):
Azure Functions 2019 and 2021 (github.com/Azure/AzurePublicDataset), Huawei Public Cloud 2025,
request tables (github.com/sir-lab/data-release), Alibaba GPU 2023, pod lists
(github.com/alibaba/clusterdata, cluster-trace-gpu-v2023).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from bridge.errors import PlacementError
from bridge.fdl.model import Resources, Service
from bridge.simulate.model import Trace, Workload

_MIB: Final = 2**20
_GUESS: Final = (1.0, 1024.0)  # cores and MiB, where a data set says nothing of them: assumption
Row = Mapping[str, str]


class _Call(NamedTuple):
    """One line of a data set: whose it is, when it came, and what it took."""

    name: str
    owner: str
    arrival: float
    run: float
    cpu: float
    memory: float
    gpu: int = 0
    size: float = 0.0


def load_trace(lines: Iterable[str], *, most: int | None = None) -> Trace:
    """The trace in a CSV file, whose format its first line tells; at most so many invocations,
    the first ones.

    Times count from the first arrival. PlacementError for a format that is not known, and for a
    line that does not hold what its format says, with its number. Azure 2019 takes two files: see
    `azure_2019`.
    """
    rows = csv.DictReader(lines)
    columns = frozenset(rows.fieldnames or ())
    for name, (needs, read) in _FORMATS.items():
        if needs <= columns:
            return _trace(_calls(rows, read), most, name)
    known = "; ".join(f"{name}: {', '.join(sorted(n))}" for name, (n, _) in _FORMATS.items())
    raise PlacementError("not a trace that is known by its columns", hint=f"known are {known}")


def azure_2019(
    counts: Iterable[str], durations: Iterable[str], *, seed: int = 0, most: int | None = None
) -> Trace:
    """A day of Azure Functions 2019: `invocations_per_function_md…csv` with the counts of each
    minute, and `function_durations_percentiles…csv` of the same day.

    Arrivals are drawn evenly within their minute, runs from the percentiles. A function without
    durations is left out, as there is nothing to run.
    """
    luck = np.random.default_rng(seed)
    known = {
        _function(row): _percentiles(row, number)
        for number, row in enumerate(csv.DictReader(durations), 2)
    }
    calls = []
    for number, row in enumerate(csv.DictReader(counts), 2):
        found = known.get(_function(row))
        if found is None:
            continue
        minutes = [(m, int(row[str(m)] or 0)) for m in range(1, 1441) if row.get(str(m))]
        if not minutes:
            raise PlacementError(f"line {number} of the invocations has no counts of minutes 1, 2…")
        for minute, count in minutes:
            runs = np.interp(luck.random(count), _SHARES, found) / 1000
            times = (minute - 1 + luck.random(count)) * 60
            name, owner = row["HashFunction"], row["HashOwner"]
            calls += [
                _Call(name, owner, float(at), float(run), *_GUESS)
                for at, run in zip(times, runs, strict=True)
            ]
    return _trace(calls, most, "Azure Functions 2019")


_SHARES: Final = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)


def _function(row: Row) -> tuple[str, str, str]:
    return row["HashOwner"], row["HashApp"], row["HashFunction"]


def _percentiles(row: Row, number: int) -> list[float]:
    names = [f"percentile_Average_{round(share * 100)}" for share in _SHARES]
    try:
        return [float(row[name]) for name in names]
    except (KeyError, TypeError, ValueError) as error:
        raise PlacementError(f"line {number} of the durations cannot be read: {error}") from error


def _azure_2021(row: Row) -> _Call:
    run = float(row["duration"])
    arrival = float(row["end_timestamp"]) - run
    return _Call(f"{row['app'][:12]}-{row['func'][:12]}", row["app"], arrival, run, *_GUESS)


def _huawei_2025(row: Row) -> _Call:
    """The pool in the pod's name says millicores and MB: `pool22-300-128-0000618412`."""
    _, cpu, memory, _ = row["podID"].split("-")
    return _Call(
        f"{row['funcName']}-{row['userID']}",
        row["userID"],
        float(row["time_frontend"]),
        float(row["runtimeCost"]),
        float(cpu) / 1000,
        float(memory),
        size=float(row["requestBodySize"] or 0),
    )


def _alibaba_2023(row: Row) -> _Call:
    """Pods of one size are one service; each runs from when it was scheduled to its deletion."""
    cpu, memory, gpu = float(row["cpu_milli"]) / 1000, float(row["memory_mib"]), int(row["num_gpu"])
    arrival = float(row["creation_time"])
    began = float(row["scheduled_time"] or arrival)
    run = max(float(row["deletion_time"]) - began, 0.0)
    name = f"pod-{row['cpu_milli']}-{row['memory_mib']}-{gpu}"
    return _Call(name, row["qos"], arrival, run, cpu, memory, gpu)


_FORMATS: Final[Mapping[str, tuple[frozenset[str], Callable[[Row], _Call]]]] = MappingProxyType(
    {
        "Azure Functions 2021": (
            frozenset({"app", "func", "end_timestamp", "duration"}),
            _azure_2021,
        ),
        "Huawei Public Cloud 2025": (
            frozenset({"time_frontend", "funcName", "userID", "podID", "runtimeCost"}),
            _huawei_2025,
        ),
        "Alibaba GPU 2023": (
            frozenset({"cpu_milli", "memory_mib", "num_gpu", "creation_time", "deletion_time"}),
            _alibaba_2023,
        ),
    }
)


def _calls(rows: Iterable[Row], read: Callable[[Row], _Call]) -> Iterator[_Call]:
    for number, row in enumerate(rows, 2):
        try:
            yield read(row)
        except (KeyError, TypeError, ValueError) as error:
            raise PlacementError(f"line {number} of the trace cannot be read: {error}") from error


def _trace(calls: Iterable[_Call], most: int | None, source: str) -> Trace:
    ordered = sorted(calls, key=lambda call: call.arrival)[:most]
    if not ordered:
        raise PlacementError("the trace has no invocation")
    by_name: dict[str, list[_Call]] = {}
    for call in ordered:
        by_name.setdefault(call.name, []).append(call)
    place = {name: i for i, name in enumerate(by_name)}
    first = ordered[0].arrival
    return Trace(
        tuple(_workload(name, same) for name, same in by_name.items()),
        np.array([place[call.name] for call in ordered], dtype=np.int32),
        np.array([call.arrival - first for call in ordered]),
        np.array([call.run for call in ordered]),
        np.array([call.size for call in ordered]),
        np.full(len(ordered), -1, dtype=np.int32),
        source,
    )


def _workload(name: str, calls: Sequence[_Call]) -> Workload:
    one = calls[0]
    resources = Resources(Decimal(str(one.cpu)), round(one.memory * _MIB), one.gpu)
    service = Service(name, "bridge", "registry.example/traced:1", resources)
    return Workload(service, sum(call.run for call in calls) / len(calls), one.owner)
