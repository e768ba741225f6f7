"""The graph that the shared paths of services make."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping

from bridge.errors import FdlError
from bridge.fdl.model import Document, Service, StoragePath
from bridge.pipeline._cycles import cycle_problems
from bridge.pipeline._paths import flow, storage_of
from bridge.pipeline.model import Crossing, Edge, End, Note, Pipeline, Stage

_Reader = tuple[int, int]  # service and input, by their numbers in the document


def build(document: Document, placements: Mapping[str, str] | None = None) -> Pipeline:
    """The pipeline of a document, or FdlError with every self-triggering service and cycle.

    A way back counts when a file may take it: write to a folder apart, or let the filters exclude
    each other. `placements` gives the target of a service by name; the pin serves for the others.
    """
    edges = tuple(_edges(document))
    problems = cycle_problems(document, edges)
    if problems:
        raise FdlError(problems)
    targets = {s.name: (placements or {}).get(s.name) or s.pin for s in document.services}
    return Pipeline(
        stages=_stages(document, edges, targets),
        edges=edges,
        crossings=tuple(_crossings(edges, targets)),
        sources=_sources(document, edges),
        sinks=_sinks(document, edges),
        results=_results(document, edges),
        notes=tuple(_notes(document, edges)),
    )


class _Inputs:
    """The inputs of one bucket, found by folder."""

    def __init__(self) -> None:
        self.by_folder: dict[str, list[_Reader]] = defaultdict(list)
        self._sorted: list[str] | None = None

    def near(self, folder: str) -> list[_Reader]:
        """Inputs on this folder, above it or below it, in the document's order."""
        folders = [*_above(folder), *self._below(folder)]
        return sorted(reader for each in folders for reader in self.by_folder.get(each, ()))

    def _below(self, folder: str) -> Iterator[str]:
        if self._sorted is None:
            self._sorted = sorted(self.by_folder)
        prefix = f"{folder}/" if folder else ""
        for found in self._sorted[bisect_left(self._sorted, prefix) :]:
            if not found.startswith(prefix):
                return
            if found != folder:
                yield found


def _above(folder: str) -> Iterator[str]:
    """The folder itself and each one above it, the root last."""
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""


def _edges(document: Document) -> Iterator[Edge]:
    inputs: dict[tuple[str, str], _Inputs] = defaultdict(_Inputs)
    for s, service in enumerate(document.services):
        for i, taken in enumerate(service.inputs):
            bucket = inputs[storage_of(taken.provider, document), taken.bucket]
            bucket.by_folder[taken.folder].append((s, i))
    for service in document.services:
        for output in service.outputs:
            there = inputs.get((storage_of(output.provider, document), output.bucket))
            if there:
                yield from _edges_of(document, service, output, there)


def _edges_of(
    document: Document, writer: Service, output: StoragePath, there: _Inputs
) -> Iterator[Edge]:
    for s, i in there.near(output.folder):
        reader = document.services[s]
        certainty = flow(output, reader.inputs[i])
        if certainty:
            yield Edge(writer.name, reader.name, output, reader.inputs[i], certainty)


def _stages(
    document: Document, edges: tuple[Edge, ...], targets: Mapping[str, str]
) -> tuple[Stage, ...]:
    levels = _levels(document, edges)
    stages = [Stage(s, targets[s.name], levels[s.name]) for s in document.services]
    return tuple(sorted(stages, key=lambda stage: stage.level))


def _levels(document: Document, edges: tuple[Edge, ...]) -> dict[str, int]:
    """The longest way to each service, of a graph without cycles."""
    levels = {service.name: 0 for service in document.services}
    readers: dict[str, list[str]] = defaultdict(list)
    waits = dict.fromkeys(levels, 0)
    for edge in edges:
        readers[edge.writer].append(edge.reader)
        waits[edge.reader] += 1
    ready = [name for name, count in waits.items() if count == 0]
    for name in ready:
        for reader in readers[name]:
            levels[reader] = max(levels[reader], levels[name] + 1)
            waits[reader] -= 1
            if waits[reader] == 0:
                ready.append(reader)
    return levels


def _crossings(edges: tuple[Edge, ...], targets: Mapping[str, str]) -> Iterator[Crossing]:
    for edge in edges:
        origin, destination = targets[edge.writer], targets[edge.reader]
        if origin and destination and origin != destination:
            yield Crossing(edge, origin, destination)


def _sources(document: Document, edges: tuple[Edge, ...]) -> tuple[End, ...]:
    fed = {End(edge.reader, edge.input) for edge in edges}
    ends = (End(s.name, taken) for s in document.services for taken in s.inputs)
    return tuple(end for end in ends if end not in fed)


def _results(document: Document, edges: tuple[Edge, ...]) -> tuple[End, ...]:
    read = {End(edge.writer, edge.output) for edge in edges}
    ends = (End(s.name, output) for s in document.services for output in s.outputs)
    return tuple(end for end in ends if end not in read)


def _sinks(document: Document, edges: tuple[Edge, ...]) -> tuple[str, ...]:
    writers = {edge.writer for edge in edges}
    return tuple(s.name for s in document.services if s.name not in writers)


def _notes(document: Document, edges: tuple[Edge, ...]) -> Iterator[Note]:
    for end in _results(document, edges):
        yield Note(end.service, f"no service reads {end.path}: its files are results")
    for edge in edges:
        if edge.certainty == "possible":
            yield Note(
                edge.writer,
                f"whether a file in {edge.output} starts {edge.reader} depends on its name",
            )
    for service in document.services:
        if not service.inputs:
            yield Note(service.name, "has no input: runs only when it is called")
