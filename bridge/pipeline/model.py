"""The values that a pipeline is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.fdl.model import Service, StoragePath

Certainty = Literal["certain", "possible"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A service in its pipeline. `level` is the length of the longest way to it, from 0.

    `target` is where it runs as far as that is known, else empty.
    """

    service: Service
    target: str
    level: int

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name


@dataclass(frozen=True, slots=True)
class Edge:
    """Files of `writer` that start jobs of `reader`.

    Certain when every file that the output takes starts a job; possible when it depends on the
    names that the script gives its files.
    """

    writer: str
    reader: str
    output: StoragePath
    input: StoragePath
    certainty: Certainty = "certain"


@dataclass(frozen=True, slots=True)
class Crossing:
    """An edge between services on two different targets."""

    edge: Edge
    origin: str
    destination: str


@dataclass(frozen=True, slots=True)
class End:
    """An input that no service of the document writes to, or an output that none reads."""

    service: str
    path: StoragePath


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth knowing about a service that is no problem."""

    service: str
    message: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The graph of a document. Everything is in an order that only the document decides.

    `stages` come in running order: by level, then as in the file. `sources` are the inputs that
    wait for files from outside, `results` the outputs that nobody reads, `sinks` the services that
    no other follows.
    """

    stages: tuple[Stage, ...] = ()
    edges: tuple[Edge, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    sources: tuple[End, ...] = ()
    sinks: tuple[str, ...] = ()
    results: tuple[End, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def levels(self) -> tuple[tuple[str, ...], ...]:
        """Names of the services of each level; those of one level do not wait for each other."""
        depth = max((stage.level for stage in self.stages), default=-1) + 1
        names: list[list[str]] = [[] for _ in range(depth)]
        for stage in self.stages:
            names[stage.level].append(stage.name)
        return tuple(map(tuple, names))

    def stage(self, name: str) -> Stage:
        """The stage of that service; KeyError when there is none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class NotificationRule:
    """One rule of a bucket's notifications, in S3's terms: keys that start and end so.

    Empty means any. `provider` is `<type>.<id>`. `services` may start jobs for such keys; whether
    they do for a given key is `Routes.match`'s answer, as rules that overlap are merged.
    """

    provider: str
    bucket: str
    prefix: str
    suffix: str
    services: tuple[str, ...]
