"""Text → Document: the top of the grammar, and the checks over the whole file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.errors import FdlError
from bridge.fdl import _oscar, _placement
from bridge.fdl._context import Built, Context
from bridge.fdl._kinds import BAD, Free
from bridge.fdl._reader import read_tree
from bridge.fdl._records import Field, Later, ListOf, MapOf, Record, Section
from bridge.fdl._storage import PROVIDERS, providers
from bridge.fdl._tree import Log, Node, node_of
from bridge.fdl.model import Cluster, Document, TargetSpec

_CLUSTER_NAME: Final = r"\S+( \S+)*"


def _aws_service() -> Record:
    from bridge.fdl._aws import AWS_SERVICE  # noqa: PLC0415 - most files have none

    return AWS_SERVICE


_FUNCTIONS: Final = Record(
    "functions",
    "The services, by where they stand.",
    (
        Field(
            "oscar",
            ListOf(MapOf(_oscar.OSCAR_SERVICE, _CLUSTER_NAME, "a name of a cluster")),
            "services of OSCAR clusters: each item maps a cluster to a service",
            default=(),
        ),
        Field("aws", ListOf(Later(_aws_service)), "services of AWS", default=()),
        Field("bridge", ListOf(_oscar.BRIDGE_SERVICE), "services to be placed", default=()),
    ),
)
ROOT: Final = Record(
    "fdl",
    "A file in the Functions Definition Language of OSCAR and SCAR, with targets and placement. "
    "Keys that start with x- are yours.",
    (
        Field("functions", _FUNCTIONS, "the services", required=True),
        Field("storage_providers", PROVIDERS, "connections to storage"),
        Field(
            "clusters",
            MapOf(_oscar.CLUSTER, _CLUSTER_NAME, "a name of a cluster"),
            "OSCAR clusters",
        ),
        Field("targets", _placement.TARGETS, "places that can run services, by name"),
        Field("scar", Free("any"), "SCAR's own; not read"),
    ),
    free=r"x-|\.",
)


def parse(
    text: str, *, file: str = "<fdl>", read_script: Callable[[str], str] | None = None
) -> Document:
    """The document that a text means. Pure but for `read_script`.

    `read_script` gets each script's path as written, gives its text, and raises OSError when it
    cannot; None leaves every `script_text` None. Raises FdlError with every problem of the file.
    """
    log = Log(file)
    return _read(read_tree(text, log), log, read_script)


def from_value(
    value: Mapping[str, Any], *, file: str = "<value>", read_script: Callable[[str], str]
) -> Document:
    """The document that a plain value means, such as one read from JSON; as `parse` otherwise.

    A value has no lines: the place of every problem is its path.
    """
    return _read(node_of(value), Log(file), read_script)


def _read(node: Node | None, log: Log, read_script: Callable[[str], str] | None) -> Document:
    root = ROOT.read(node, "", log) if node is not None else BAD
    document = None if root is BAD else _document(root, Context(log, read_script))
    if log.problems or document is None:
        raise FdlError(log.problems)
    return document


def _document(root: Section, context: Context) -> Document:
    functions = root.sub("functions")
    clusters = _clusters(root, functions)
    storage = providers(root.sub("storage_providers"))
    declared = _placement.declared(root.get("targets") or {}, clusters, context)
    context.providers = frozenset(storage)
    context.clusters = frozenset(clusters)
    context.targets = frozenset(
        [*clusters, *(spec.name for spec in declared), _placement.LAMBDA, _placement.BATCH]
    )
    built = _services(functions, context)
    _check_names(built, context.log)
    return Document(
        file=context.log.file,
        services=tuple(item.service for item in built),
        providers=storage,
        clusters={name: found for name, found in clusters.items() if found is not None},
        targets=_targets(declared, list(clusters), built),
    )


def _clusters(root: Section, functions: Section) -> dict[str, Cluster | None]:
    """Every cluster that is named, with its connection where the file has one."""
    named: dict[str, Cluster | None] = {}
    for name, section in (root.get("clusters") or {}).items():
        named[name] = _oscar.cluster_of(section, name)
    for entry in functions.get("oscar"):
        for name, section in entry.items():
            inside = _oscar.cluster_of(section, name) if "endpoint" in section else None
            named[name] = named.get(name) or inside
    return named


def _services(functions: Section, context: Context) -> list[Built]:
    built: list[Built] = []
    for origin in functions.nodes:
        for n, entry in enumerate(functions.get(origin)):
            if origin == "aws":
                built.append(_build_aws(entry, context))
            elif origin == "bridge":
                built.append(_oscar.build(entry, "", context))
            else:
                _check_entry(entry, functions, n, context.log)
                built.extend(
                    _oscar.build(section, name, context) for name, section in entry.items()
                )
    if not built and not context.log.problems:
        context.log.at(functions.place(), "the file has no services", "see the examples")
    return built


def _build_aws(entry: Section, context: Context) -> Built:
    from bridge.fdl._aws import build  # noqa: PLC0415 - most files have none

    return build(entry, context)


def _check_entry(entry: dict[str, Section], functions: Section, n: int, log: Log) -> None:
    if not entry and not log.problems:
        place = functions.place("oscar", n)
        log.at(place, "no cluster and no service here", "write <cluster>: and the service under it")


def _check_names(built: list[Built], log: Log) -> None:
    first: dict[str, Built] = {}
    for item in built:
        name = item.service.name
        if not name:
            continue
        if name not in first:
            first[name] = item
            continue
        there = first[name].section.place("name")
        message = (
            f"the name {name!r} is taken by the service at line {there.line}, "
            f"column {there.column} ({there.path})"
        )
        hint = "rename one; to let one service run in several places, write placement.targets"
        log.at(item.section.place("name"), message, hint)


def _targets(
    declared: list[TargetSpec], clusters: list[str], built: list[Built]
) -> dict[str, TargetSpec]:
    regions = {
        mode: next((b.region for b in built if b.region and _is_batch(b) == mode), "")
        for mode in (False, True)
    }
    region = regions[False] or regions[True]
    implied = _placement.implied(clusters, region, regions[True])
    return {spec.name: spec for spec in (*implied, *declared)}


def _is_batch(built: Built) -> bool:
    return built.service.execution_mode == "batch"
