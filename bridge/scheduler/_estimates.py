"""What one job takes on one target: seconds of waiting, starting, running and transfer, and USD.

Everything that stays the same while service, target and prices do is worked out once, as a
Standing; the rest is arithmetic on the target's state and the event.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from bridge.errors import PlacementError
from bridge.events import Event
from bridge.fdl.model import Service, StoragePath, TargetSpec
from bridge.fdl.options import OscarOptions
from bridge.scheduler import _words as words
from bridge.scheduler._data import Assumptions, Start, assumptions, start_of
from bridge.scheduler._filters import (
    FILTERS,
    OfferCheck,
    is_choosy,
    offer_checks,
    refusals,
)
from bridge.scheduler._kinds import AWS, batch_platform, is_first_choice, region_of
from bridge.scheduler._prices import Prices, Rate, fargate_rate, lambda_rate, storage_cost
from bridge.scheduler._sizes import fargate_size, lambda_size
from bridge.scheduler.model import (
    Cause,
    Estimate,
    Image,
    Offer,
    Reason,
    Room,
    TargetState,
    Transfer,
)

_GIB: Final = 2**30
_MIB: Final = 2**20
_FREE: Final = Decimal(0)
_LONGEST: Final = 1e9  # seconds: some thirty years


@dataclass(frozen=True, slots=True)
class Route:
    """Moving a byte: seconds, and USD when it leaves AWS."""

    seconds: float
    price: Decimal = _FREE


@dataclass(frozen=True, slots=True)
class Quote:
    """The rate that a target asks, how far to trust it, and what to say of it."""

    rate: Rate | None
    trust: float = 1.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What is the same for every job of a service on a target.

    `choosy`: filters of a target's state may have something against it whatever the state is.
    `offer_checks` are the filters of offers that may.
    """

    first_choice: bool
    reasons: tuple[Reason, ...]
    quote: Quote
    start: Start
    process_start: Start
    capacity: int | None
    guess: Estimate
    guess_notes: tuple[str, ...]
    from_s3: Route
    from_elsewhere: Route
    out: Route
    input_provider: str
    free: bool
    pull: float
    cpu: float
    choosy: bool
    offer_checks: tuple[tuple[str, OfferCheck], ...]


def standing(service: Service, spec: TargetSpec, prices: Prices) -> Standing:
    """All that is known of a service on a target before any event and measurement."""
    assume = assumptions()
    quote = _with_egress(_quote(service, spec, prices), service, spec, prices)
    guess, said = _guess(service, assume)
    from_s3 = route(spec, prices, assume, s3=True, outward=False)
    elsewhere = route(spec, prices, assume, s3=False, outward=False)
    out = _out(service.outputs, spec, prices, assume)
    reasons = refusals(FILTERS.spec.items(), service, spec)
    if wrong := _wrong_price(quote, (from_s3, elsewhere, out)):
        sentence = f"the price of a job on {spec.name} is {wrong}, which cannot be"
        quote, reasons = Quote(None), (*reasons, Reason("price", sentence))
    return Standing(
        first_choice=is_first_choice(service, spec),
        reasons=reasons,
        quote=quote,
        start=start_of(_start_kind(service, spec)),
        process_start=start_of("process" if spec.kind == "local" else _start_kind(service, spec)),
        capacity=_capacity(service, spec),
        guess=guess,
        guess_notes=(said, *quote.notes),
        from_s3=from_s3,
        from_elsewhere=elsewhere,
        out=out,
        pull=assume.seconds_per_byte["aws" if spec.kind in AWS else "internet"],
        cpu=float(service.resources.cpu) or 1.0,
        choosy=is_choosy(service, spec),
        offer_checks=offer_checks(service, spec),
        input_provider=str(service.inputs[0].provider) if service.inputs else "",
        free=quote.rate == Rate() and not from_s3.price and not elsewhere.price,
    )


def _wrong_price(quote: Quote, routes: Iterable[Route]) -> Decimal | None:
    """A price that is no number, or negative."""
    rate = quote.rate or Rate()
    for asked in (rate.second, rate.fixed, *[way.price for way in routes]):
        if not (asked.is_finite() and asked >= 0):
            return asked
    return None


def _start_kind(service: Service, spec: TargetSpec) -> str:
    if spec.kind == "batch":
        return f"batch-{batch_platform(service).lower()}"
    return spec.kind


def _capacity(service: Service, spec: TargetSpec) -> int | None:
    """Jobs of this service that the target runs at once; None when it says nothing of it."""
    bounds = [spec.slots] if spec.slots is not None else []
    if spec.cpu is not None and service.resources.cpu > 0:
        bounds.append(int(spec.cpu / service.resources.cpu))
    if spec.memory is not None and service.resources.memory > 0:
        bounds.append(spec.memory // service.resources.memory)
    if spec.gpu and service.resources.gpu:
        bounds.append(spec.gpu // service.resources.gpu)
    return min(bounds, default=None)


def _guess(service: Service, assume: Assumptions) -> tuple[Estimate, str]:
    """The run time of a service that nobody has measured, and the sentence that says so."""
    options = service.options
    if isinstance(options, OscarOptions) and assume.run_annotation in options.annotations:
        said = _seconds_said(service, options.annotations[assume.run_annotation], assume)
        note = f"the run time of {words.duration(said)} is what the service says of itself"
        return Estimate(said, assume.hint_confidence), note
    guess = assume.run_seconds
    if service.timeout is not None:
        guess = min(guess, service.timeout)
    return Estimate(guess, 0.0), f"the run time of {words.duration(guess)} is a guess"


def _seconds_said(service: Service, text: str, assume: Assumptions) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST:
        raise PlacementError(
            f"the annotation {assume.run_annotation} of {service.name} is not a number of seconds: "
            f"{text!r}"
        )
    return seconds


def _quote(service: Service, spec: TargetSpec, prices: Prices) -> Quote:
    if spec.kind == "lambda":
        return _lambda_quote(service, spec, prices)
    if spec.kind == "batch" and not spec.cost_per_hour:
        return _batch_quote(service, spec, prices)
    if not (spec.cost_per_hour.is_finite() and spec.cost_per_hour >= 0):
        return Quote(None)
    second = spec.cost_per_hour * prices.clusters * service.resources.cpu / 3600
    return Quote(Rate(second=second))


def _lambda_quote(service: Service, spec: TargetSpec, prices: Prices) -> Quote:
    try:
        size = lambda_size(service)
    except PlacementError:
        return Quote(None)
    price, own = prices.find(prices.functions, region_of(spec))
    rate = lambda_rate(price, service.arch, size.memory, size.storage)
    return _said_of(rate, own, "Lambda", spec, prices)


def _batch_quote(service: Service, spec: TargetSpec, prices: Prices) -> Quote:
    wanted = service.resources
    price, own = prices.find(prices.fargate, region_of(spec))
    if batch_platform(service) == "EC2":
        rate = fargate_rate(price, spec.arch, wanted.cpu, -(-wanted.memory // _MIB))
        quote = _said_of(rate, own, "Fargate", spec, prices)
        gpu = ", without the GPU" if wanted.gpu else ""
        note = f"AWS Batch on EC2 is priced as Fargate{gpu} (give the target a cost_per_hour)"
        return Quote(rate, quote.trust, (note, *quote.notes))
    try:
        size = fargate_size(wanted)
    except PlacementError:
        return Quote(None)
    rate = fargate_rate(price, spec.arch, size.vcpu, size.memory, wanted.ephemeral_storage)
    return _said_of(rate, own, "Fargate", spec, prices)


def _said_of(rate: Rate, own: bool, what: str, spec: TargetSpec, prices: Prices) -> Quote:
    if own:
        return Quote(rate)
    return Quote(rate, assumptions().price_fallback_trust, (_borrowed(what, spec, prices),))


def _borrowed(what: str, spec: TargetSpec, prices: Prices) -> str:
    where = f"{what} in {region_of(spec)}"
    return f"the price of {where} is not known: that of {prices.default_region} is taken"


def _with_egress(quote: Quote, service: Service, spec: TargetSpec, prices: Prices) -> Quote:
    """Say it when the price of data that leaves an AWS target is another region's."""
    if spec.kind not in AWS or region_of(spec) in prices.egress:
        return quote
    if all(path.provider.type == "s3" for path in service.outputs):
        return quote
    return replace(quote, notes=(*quote.notes, _borrowed("data that leaves AWS", spec, prices)))


def route(
    spec: TargetSpec, prices: Prices, assume: Assumptions, *, s3: bool, outward: bool
) -> Route:
    """A byte between the target and a store that is S3 or somewhere else."""
    in_aws = spec.kind in AWS
    if in_aws and s3:
        return Route(assume.seconds_per_byte["aws"])
    if in_aws == s3:
        return Route(assume.seconds_per_byte["site"])
    leaves = in_aws == outward
    price = prices.find(prices.egress, region_of(spec))[0] / _GIB if leaves else _FREE
    return Route(assume.seconds_per_byte["internet"], price)


def _out(
    outputs: tuple[StoragePath, ...], spec: TargetSpec, prices: Prices, assume: Assumptions
) -> Route:
    """A byte of input as output: the outputs share the input's size (times `output_ratio`)."""
    if not outputs:
        return Route(0.0)
    to_s3 = [path.provider.type == "s3" for path in outputs]
    kinds = {s3: route(spec, prices, assume, s3=s3, outward=True) for s3 in set(to_s3)}
    ratio = assume.output_ratio / len(to_s3)
    seconds = sum([kinds[s3].seconds for s3 in to_s3]) * ratio
    price = sum([kinds[s3].price for s3 in to_s3])
    return Route(seconds, price * Decimal(ratio) if price else _FREE)


def estimated(
    name: str,
    event: Event | Cause | None,
    state: TargetState,
    known: Standing,
    reasons: tuple[Reason, ...],
) -> Offer:
    """The offer for one job of service `name`, feasible when there are no reasons against it.

    Without a rate (the size cannot be bought) there are no estimates, and there is a reason.
    """
    spec, quote = state.spec, known.quote
    if quote.rate is None:
        return Offer(spec.name, spec.kind, feasible=False, reasons=reasons)
    estimate, notes = _run(name, event, state, known)
    typical = known.start if state.isolated else known.process_start
    transfer, moved = _transfer(event, known, state)
    run = estimate.run
    each = run if state.mean_run is None else state.mean_run
    if state.mean_cpu is not None:
        each *= state.mean_cpu / known.cpu
    waits = wait(state.running, state.queued, known.capacity, each)
    room = state.room.get(name)
    if room is not None:
        waits = max(0.0 if known.capacity is None else waits, room_wait(room, state.queued, each))
        if room.why:
            notes = (*notes, f"full now: {room.why}")
    return Offer(  # by position: this runs for every target of every decision
        spec.name,
        spec.kind,
        not reasons,
        reasons,
        waits,
        _start(name, state, typical, known.pull),
        run,
        transfer,
        _FREE if known.free else quote.rate.cost(run + transfer + typical.billed) + moved,
        estimate.confidence * quote.trust,
        max(state.age, 0.0),
        notes,
        quote.rate.fixed,
        moved,
        estimate.late,
        storage_cost(quote.rate, run + transfer + typical.billed) if quote.rate.storage else _FREE,
    )


def _start(name: str, state: TargetState, typical: Start, pull: float) -> float:
    """As measured, else as is typical; less where a container waits, more where the image is not.

    `pull` are the seconds for a byte of the image. What was measured with the image and without, or
    in containers that waited and new ones, and is not told apart, is taken as it is.
    """
    measured = state.start
    seconds = typical.seconds if measured is None else measured
    if state.image and state.isolated and (image := state.image.get(name)) is not None:
        seconds += pull * _missing(image)
    if not state.cold or typical.warm is None or (cold := state.cold.get(name)) is None:
        return seconds
    if state.start_warm is not None:
        return cold * seconds + (1 - cold) * state.start_warm
    return seconds if measured is not None else cold * seconds + (1 - cold) * typical.warm


def _missing(image: Image) -> float:
    """Bytes that a job has to wait for on average."""
    if image.present is None:
        return 0.0
    size = assumptions().image_bytes if image.size is None else image.size
    return size * (1.0 - image.present)


def _run(
    name: str, event: Event | Cause | None, state: TargetState, known: Standing
) -> tuple[Estimate, tuple[str, ...]]:
    """What was measured, unless what the service says of itself is surer; with what to say."""
    measured = state.runs.get(name)
    if measured is not None and event is not None:
        measured = measured.of(event.size)
    if measured is None or measured.confidence < known.guess.confidence:
        return known.guess, known.guess_notes
    notes = known.quote.notes
    return measured, (measured.note, *notes) if measured.note else notes


def _transfer(
    event: Event | Cause | None, known: Standing, state: TargetState
) -> tuple[float, Decimal]:
    if event is None or event.size is None or event.size <= 0:
        return 0.0, _FREE
    provider = event.provider or known.input_provider
    into = known.from_s3 if provider.partition(".")[0] == "s3" else known.from_elsewhere
    price = into.price + known.out.price
    moved = price * event.size if price else _FREE
    seconds = _moving(state.stage_in, into.seconds * event.size, event.size)
    if known.out.seconds:
        written = event.size * assumptions().output_ratio
        seconds += _moving(state.stage_out, known.out.seconds * event.size, written)
    return seconds, moved


def _moving(measured: Transfer | None, assumed: float, size: float) -> float:
    return assumed if measured is None else measured.latency + measured.per_byte * size


def wait(running: int, queued: int, capacity: int | None, run: float) -> float:
    """Seconds until a job that comes now starts, when those ahead take `run` seconds each.

    With room for `capacity` jobs at once, one ends every run/capacity seconds. Without a known
    bound there is no waiting, except behind jobs that wait already.
    """
    if capacity is None:
        return queued * run / max(running, 1)
    ahead = running + queued - capacity
    return (ahead + 1) * run / capacity if ahead >= 0 and capacity else 0.0


def room_wait(room: Room, queued: int, run: float) -> float:
    """Seconds until a job that comes now has room, when those ahead take `run` seconds each.

    It waits for jobs that run to end, or for machines to be added, whichever is sooner. `queued`
    are the jobs that we know to wait; those of others are in `room.ahead`, which may hold ours too.
    """
    short = max(queued, room.ahead) + 1 - room.now
    if short <= 0:
        return 0.0
    waits = []
    if room.ever:
        waits.append(short * run / room.ever)
    if room.more:
        waits.append(room.delay + max(0, short - room.more) * run / (room.ever + room.more))
    return min(waits, default=0.0)
