"""Queues, definitions and jobs as the engine keeps them. Times are milliseconds since the epoch."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from bridge.local.aws.model import Scope

Json = dict[str, Any]


class Fault(Exception):
    """A request that AWS refuses with a ClientException."""


class Status(StrEnum):
    """The states of a job, in their order."""

    SUBMITTED = "SUBMITTED"
    PENDING = "PENDING"
    RUNNABLE = "RUNNABLE"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def final(self) -> bool:
        """True when it will not change any more."""
        return self in {Status.SUCCEEDED, Status.FAILED}


WAITING: Final = frozenset({Status.SUBMITTED, Status.PENDING, Status.RUNNABLE})


@dataclass(slots=True)
class ComputeEnvironment:
    """Where jobs run: here it is only a number of cores. `used` is what running jobs hold."""

    name: str
    arn: str
    record: Json
    max_vcpus: float
    used: float = 0.0

    @property
    def enabled(self) -> bool:
        """True when jobs may be placed here."""
        return bool(self.record["state"] == "ENABLED")


@dataclass(slots=True)
class Queue:
    """A job queue; `environments` are names, in their order."""

    name: str
    arn: str
    record: Json
    environments: list[str]

    @property
    def enabled(self) -> bool:
        """True when it takes new jobs."""
        return bool(self.record["state"] == "ENABLED")

    @property
    def priority(self) -> int:
        """Higher goes first."""
        return int(self.record["priority"])


@dataclass(frozen=True, slots=True)
class ExitRule:
    """One entry of evaluateOnExit: patterns, all of which must match; "" matches all."""

    action: str
    exit_code: str = ""
    reason: str = ""
    status_reason: str = ""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What to run for a job: the definition with the submitter's changes. `memory` in MiB.

    `secrets` are variables and where their values are kept.
    """

    image: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    vcpus: float
    memory: int
    gpus: int = 0
    attempts: int = 1
    rules: tuple[ExitRule, ...] = ()
    timeout: int | None = None
    platforms: tuple[str, ...] = ("EC2",)
    secrets: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """A multi-node job: what each node runs, in the order of their indexes."""

    main: int
    plans: tuple[RunPlan, ...]


@dataclass(slots=True)
class Node:
    """One node's place in its job; `address` is the main node's, known once that runs."""

    index: int
    count: int
    main: int
    address: str = ""

    @property
    def is_main(self) -> bool:
        """True for the node that decides how the job ends."""
        return self.index == self.main


@dataclass(slots=True)
class Attempt:
    """One run of a job."""

    started: int
    stopped: int = 0
    exit_code: int | None = None
    reason: str = ""
    status_reason: str = ""
    stream: str = ""


@dataclass(slots=True, eq=False)
class Job:
    """A job, an array's parent or one of its children (`index`), a group of nodes or one (`node`).

    The `plan` of a group is its main node's, with the vCPUs of all nodes.
    """

    id: str
    arn: str
    name: str
    scope: Scope
    queue: Queue
    definition_arn: str
    definition_name: str
    plan: RunPlan
    request: Json
    parameters: Mapping[str, str]
    created: int = field(default_factory=lambda: int(time.time() * 1000))
    status: Status = Status.SUBMITTED
    status_reason: str = ""
    started: int = 0
    stopped: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    current: Attempt | None = None
    size: int = 0
    index: int | None = None
    parent: Job | None = None
    children: list[Job] = field(default_factory=list)
    counts: dict[Status, int] = field(default_factory=dict)
    blockers: int = 0
    followers: list[Job] = field(default_factory=list)
    stop_reason: str = ""
    terminated: bool = False
    wake: threading.Event = field(default_factory=threading.Event)
    environment: ComputeEnvironment | None = None
    group: Group | None = None
    nodes: list[Job] = field(default_factory=list)
    node: Node | None = None


def now() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)
