"""The values that placement is made of. All frozen; all can be printed, stored and replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple

from bridge.fdl.model import TargetKind, TargetSpec


@dataclass(frozen=True, slots=True)
class Estimate:
    """Predicted seconds for one job. `confidence` is 0 (a guess) to 1 (measured often).

    `late` are the seconds that 95 of 100 jobs stay below, None when that is not known. `note` says
    in a sentence what it rests on when that is not the service's own runs there. `sizes` are the
    estimates by size of the input, the first one for inputs of `smallest` bits; empty when the size
    is not known to matter.
    """

    run: float
    confidence: float = 0.0
    late: float | None = None
    note: str = ""
    sizes: tuple[Estimate, ...] = ()
    smallest: int = 0

    def of(self, size: int | None) -> Estimate:
        """The estimate for an input of so many bytes; beyond what was seen, the nearest."""
        if size is None or not self.sizes:
            return self
        place = max(size, 0).bit_length() - self.smallest
        return self.sizes[min(max(place, 0), len(self.sizes) - 1)]


@dataclass(frozen=True, slots=True)
class Transfer:
    """What moving data takes, as measured: seconds for anything at all, and for each byte."""

    latency: float
    per_byte: float
    confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Spent:
    """USD at list prices that runs have cost, of a service and of its owner, and what jobs that are
    under way are expected to cost.

    Of the day and the month (UTC) in which the snapshot was taken. `owner_…` are all services of
    the same owner; 0 where nobody owns them.
    """

    day: Decimal = Decimal(0)
    month: Decimal = Decimal(0)
    owner_day: Decimal = Decimal(0)
    owner_month: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Room:
    """How many more jobs of one service a target can take, beside what it runs now.

    `now` at once, `ever` if nothing else ran there, and `more` on machines that it can add, which
    takes `delay` seconds. `ahead` counts the jobs of anybody that wait for room there. `why` says
    what is short, in a sentence; "" when there is room now.
    """

    now: int
    ever: int
    more: int = 0
    delay: float = 0.0
    ahead: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """What is known of a service's image where a target would take it from.

    `size` in bytes with all layers, not compressed; `archs` are the processors that it is for,
    empty when that is not known; `present` is the share of the target's machines that have it
    already (0 to 1), None when that is not known.
    """

    size: int | None = None
    archs: frozenset[str] = frozenset()
    present: float | None = None


@dataclass(frozen=True, slots=True)
class Machines:
    """The machines of a target: how many, and cores and bytes of memory in all and free."""

    nodes: int
    cpu: float
    memory: int
    free_cpu: float
    free_memory: int


@dataclass(frozen=True, slots=True)
class TargetState:
    """What is known of a target at one moment. `age` is the seconds since it was measured.

    `running` and `queued` count jobs; `failures` is the recent share of failed jobs (0 to 1);
    `start` overrides the typical start seconds of the kind when measured here; 95 of 100 starts
    take less than `start_late`. `stage_in` and `stage_out` override the assumed bandwidths.
    `breaker` is `open` where the target takes no jobs now, and `half-open` where one job is to try.
    `providers` are the `<type>.<id>` it can reach; None means every provider of the document, but
    those `beyond` its reach.
    `absent` says by service why it is not deployed there now; others are.
    `isolated` is False where jobs run as plain processes and the image is not used.
    `room` is by service; a service that it does not have is bounded by the spec alone.
    `image` is by service too, and so are `cold`, the chance that no warm container waits for a job,
    and `warm`, how many wait. Where both were told apart `start` is the cold one and `start_warm`
    the other.
    `mean_run` and `mean_cpu` are the mean seconds and cores of the jobs that run and wait there,
    None where only their number is known: then all are taken to be like the one that is placed.
    """

    spec: TargetSpec
    running: int = 0
    queued: int = 0
    failures: float = 0.0
    start: float | None = None
    age: float = 0.0
    providers: frozenset[str] | None = None
    runs: Mapping[str, Estimate] = field(default_factory=dict)
    isolated: bool = True
    room: Mapping[str, Room] = field(default_factory=dict)
    start_late: float | None = None
    stage_in: Transfer | None = None
    stage_out: Transfer | None = None
    breaker: str = "closed"
    image: Mapping[str, Image] = field(default_factory=dict)
    cold: Mapping[str, float] = field(default_factory=dict)
    machines: Machines | None = None
    mean_run: float | None = None
    mean_cpu: float | None = None
    warm: Mapping[str, int] = field(default_factory=dict)
    start_warm: float | None = None
    beyond: frozenset[str] = frozenset()
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All targets at one moment; what a decision is a function of.

    `taken` is when, RFC 3339; `spent` is by service. `turn` counts the decisions before this one,
    for policies that go round; None where nobody counts.
    """

    targets: tuple[TargetState, ...]
    taken: str = ""
    spent: Mapping[str, Spent] = field(default_factory=dict)
    turn: int | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """What a decision looks at of the event that starts a job; it may stand for the event."""

    identity: str = ""
    provider: str = ""
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a target cannot run a service: which filter said so, and a sentence for a person.

    `passing`: it goes by itself, so that it is worth to ask again later.
    """

    filter: str
    sentence: str
    passing: bool = False


# An offer, its terms and its candidate are made for every target of every decision: as named tuples
# they take a third of the time.


class Offer(NamedTuple):
    """What a target offers for one job: feasible or not, seconds, USD, and how sure that is.

    Of the cost, `request` is paid for each job however long it runs, `egress` for its data that
    leaves AWS, `storage` for its temporary files; the rest is for the time. `notes` say in plain
    words what the numbers rest on when that is not a measurement. 95 of 100 jobs run for less than
    `late` seconds, None when that is not known.
    """

    target: str
    kind: TargetKind
    feasible: bool
    reasons: tuple[Reason, ...] = ()
    wait: float = 0.0
    start: float = 0.0
    run: float = 0.0
    transfer: float = 0.0
    cost: Decimal = Decimal(0)
    confidence: float = 0.0
    age: float = 0.0
    notes: tuple[str, ...] = ()
    request: Decimal = Decimal(0)
    egress: Decimal = Decimal(0)
    late: float | None = None
    storage: Decimal = Decimal(0)

    @property
    def finish(self) -> float:
        """Predicted seconds from the event to the outputs."""
        return self.wait + self.start + self.run + self.transfer


class Term(NamedTuple):
    """One term of a score: `value` is 0 (worst) to 1 (best), `raw` is what it was made from.

    `raw` is None where the figure is not known, which counts as the worst.
    """

    name: str
    value: float
    raw: float | None
    unit: str
    weight: float


class Candidate(NamedTuple):
    """A target as the decision saw it. `score` is None when the offer is not feasible."""

    offer: Offer
    score: float | None = None
    terms: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class Instead:
    """What a policy that did not decide would have done with the job, and what it expected.

    `role` says why it was asked: the `primary` policy, where a canary decided, or a `shadow`.
    `target` is "" when it found none. Times in seconds, the cost in USD.
    """

    role: Literal["primary", "shadow"]
    policy: str
    target: str
    wait: float = 0.0
    finish: float = 0.0
    cost: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Hedge:
    """The target to try next when a job has not started `after` seconds from the decision.

    The job is to be withdrawn from the first target before that: it must not run twice.
    """

    target: str
    after: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The chosen target and every other candidate with its reasons.

    `target` is "" when nothing is feasible. `candidates` are sorted best first, infeasible last.
    `reason` is one sentence for a person. `fallback` are the feasible targets of
    `placement.fallback`, in its order, to be tried when `target` does not take the job.
    `snapshot` and `cause` are what it was made from, None where that was not kept; two decisions
    that say the same are equal whatever they were made from. `trial` is "canary" when a policy on
    trial decided, `instead` what others would have done.
    """

    service: str
    policy: str
    seed: int
    target: str
    reason: str
    candidates: tuple[Candidate, ...] = ()
    event: str = ""
    fallback: tuple[str, ...] = ()
    snapshot: Snapshot | None = field(default=None, compare=False, repr=False)
    cause: Cause | None = field(default=None, compare=False)
    trial: Literal["", "canary"] = ""
    instead: tuple[Instead, ...] = ()
    hedge: Hedge | None = None

    @property
    def chosen(self) -> Candidate | None:
        """The candidate of `target`, None when nothing was feasible."""
        return next((c for c in self.candidates if c.offer.target == self.target), None)

    @property
    def waits(self) -> bool:
        """Nothing can take the job now, but something will: all that is against it passes."""
        return not self.target and any(
            candidate.offer.reasons and all(reason.passing for reason in candidate.offer.reasons)
            for candidate in self.candidates
        )
