"""A pipeline as Mermaid, DOT and plain JSON data. The same pipeline always gives the same text."""

from __future__ import annotations

from typing import Any

from bridge.fdl.model import StoragePath
from bridge.pipeline.model import Edge, End, Pipeline, Stage

_CROSSING = "stroke:#c2410c,stroke-width:3px"
# What Mermaid would read as markup, in its own number entities.
_ENTITIES = {ord(c): f"#{ord(c)};" for c in "#&<>\"'`\\|{}[]()"}


def mermaid(pipeline: Pipeline) -> str:
    """A Mermaid flowchart, with a line end. Crossings are thick, possible edges dotted."""
    drawing = ["flowchart LR"]
    ids = _ids(pipeline)
    for stage in pipeline.stages:
        label = "<br/>".join(_mermaid_text(line) for line in _lines(stage))
        drawing.append(f'    {ids[stage.name]}["{label}"]')
    crossing = _crossing_edges(pipeline)
    arrows = [_mermaid_edge(edge, ids, crossed=edge in crossing) for edge in pipeline.edges]
    thick = [n for n, edge in enumerate(pipeline.edges) if edge in crossing]
    for n, end in enumerate(pipeline.sources):
        drawing.append(f'    in{n}[("{_mermaid_text(_label(end.path))}")]')
        arrows.append(f"in{n} --> {ids[end.service]}")
    for n, end in enumerate(pipeline.results):
        drawing.append(f'    out{n}[("{_mermaid_text(_label(end.path))}")]')
        arrows.append(f"{ids[end.service]} --> out{n}")
    drawing += [f"    {arrow}" for arrow in arrows]
    if thick:
        drawing.append(f"    linkStyle {','.join(map(str, thick))} {_CROSSING}")
    return "\n".join(drawing) + "\n"


def dot(pipeline: Pipeline) -> str:
    """A DOT digraph, with a line end. Crossings are bold, possible edges dashed."""
    drawing = ["digraph pipeline {", "    rankdir=LR;", "    node [shape=box];"]
    ids = _ids(pipeline)
    for stage in pipeline.stages:
        drawing.append(f"    {ids[stage.name]} [label={_dot_text(*_lines(stage))}];")
    for n, end in enumerate(pipeline.sources):
        drawing.append(_dot_store(f"in{n}", end))
    for n, end in enumerate(pipeline.results):
        drawing.append(_dot_store(f"out{n}", end))
    crossing = _crossing_edges(pipeline)
    drawing += [_dot_edge(edge, ids, crossed=edge in crossing) for edge in pipeline.edges]
    drawing += [f"    in{n} -> {ids[e.service]};" for n, e in enumerate(pipeline.sources)]
    drawing += [f"    {ids[e.service]} -> out{n};" for n, e in enumerate(pipeline.results)]
    return "\n".join([*drawing, "}"]) + "\n"


def as_json(pipeline: Pipeline) -> dict[str, Any]:
    """The pipeline as objects, lists and text that the json module takes."""
    crossing = _crossing_edges(pipeline)
    return {
        "stages": [
            {"service": s.name, "target": s.target, "level": s.level} for s in pipeline.stages
        ],
        "levels": [list(level) for level in pipeline.levels],
        "edges": [
            {
                "from": edge.writer,
                "to": edge.reader,
                "output": _path(edge.output),
                "input": _path(edge.input),
                "certainty": edge.certainty,
                "crossing": edge in crossing,
            }
            for edge in pipeline.edges
        ],
        "crossings": [
            {
                "from": {"service": each.edge.writer, "target": each.origin},
                "to": {"service": each.edge.reader, "target": each.destination},
                "path": str(each.edge.output),
            }
            for each in pipeline.crossings
        ],
        "sources": [_end(end) for end in pipeline.sources],
        "sinks": list(pipeline.sinks),
        "results": [_end(end) for end in pipeline.results],
        "notes": [{"service": note.service, "message": note.message} for note in pipeline.notes],
    }


def _crossing_edges(pipeline: Pipeline) -> frozenset[Edge]:
    return frozenset(crossing.edge for crossing in pipeline.crossings)


def _ids(pipeline: Pipeline) -> dict[str, str]:
    """Short names for the drawings, as those of services may hold anything."""
    return {stage.name: f"s{n}" for n, stage in enumerate(pipeline.stages)}


def _lines(stage: Stage) -> list[str]:
    return [stage.name, f"on {stage.target}"] if stage.target else [stage.name]


def _label(path: StoragePath) -> str:
    """A path with its filters, for a person."""
    starts = [f"{text}*" for text in path.prefix]
    ends = [f"*{text}" for text in path.suffix]
    return " ".join([str(path), *starts, *ends])


def _path(path: StoragePath) -> dict[str, Any]:
    return {
        "provider": str(path.provider),
        "path": path.path,
        "prefix": list(path.prefix),
        "suffix": list(path.suffix),
    }


def _end(end: End) -> dict[str, Any]:
    return {"service": end.service, **_path(end.path)}


def _mermaid_edge(edge: Edge, ids: dict[str, str], *, crossed: bool) -> str:
    arrow = "-.->" if edge.certainty == "possible" else "==>" if crossed else "-->"
    return f'{ids[edge.writer]} {arrow}|"{_mermaid_text(_label(edge.output))}"| {ids[edge.reader]}'


def _mermaid_text(text: str) -> str:
    return _one_line(text).translate(_ENTITIES)


def _dot_edge(edge: Edge, ids: dict[str, str], *, crossed: bool) -> str:
    style = "dashed" if edge.certainty == "possible" else "bold" if crossed else "solid"
    colour = ", color=orangered, penwidth=2" if crossed else ""
    label = _dot_text(_label(edge.output))
    return f"    {ids[edge.writer]} -> {ids[edge.reader]} [label={label}, style={style}{colour}];"


def _dot_store(name: str, end: End) -> str:
    return f"    {name} [label={_dot_text(_label(end.path))}, shape=cylinder];"


def _dot_text(*lines: str) -> str:
    escaped = (_one_line(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'


def _one_line(text: str) -> str:
    """The text with a space for each control character and line separator."""
    return "".join(c if c.isprintable() else " " for c in text)
