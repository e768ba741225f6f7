"""Seconds: running, starting, waiting and transfer, and how sure they are."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from bridge.errors import PlacementError
from bridge.fdl.options import OscarOptions
from bridge.scheduler import Image, Room, list_prices, offer
from tests.scheduler.make import (
    CLUSTER,
    FUNCTIONS,
    GIB,
    MINIO,
    QUEUE,
    S3,
    event,
    on_batch,
    path,
    service,
    spec,
    state,
)

MB = 1_000_000


def saying(seconds: str) -> OscarOptions:
    return OscarOptions(annotations={"oscar-bridge/run-seconds": seconds})


def test_a_measured_run_is_taken_as_it_is() -> None:
    made = offer(service(timeout=5.0), None, state(CLUSTER, run=12.5))
    assert (made.run, made.confidence, made.notes) == (12.5, 0.9, ())


def test_a_run_that_the_service_announces() -> None:
    made = offer(service(options=saying("8")), None, state(CLUSTER))
    assert (made.run, made.confidence) == (8.0, 0.25)
    assert made.notes == ("the run time of 8 s is what the service says of itself",)


@pytest.mark.parametrize(("timeout", "run"), [(None, 30.0), (300.0, 30.0), (10.0, 10.0)])
def test_a_run_that_nobody_knows_is_a_guess(timeout: float | None, run: float) -> None:
    made = offer(service(timeout=timeout), None, state(CLUSTER))
    assert (made.run, made.confidence) == (run, 0.0)
    assert made.notes == (f"the run time of {run:.0f} s is a guess",)


@pytest.mark.parametrize("text", ["soon", "nan", "inf", "-3", "1e300"])
def test_an_announcement_that_is_no_time_is_an_error(text: str) -> None:
    with pytest.raises(PlacementError, match="oscar-bridge/run-seconds of resize"):
        offer(service(options=saying(text)), None, state(CLUSTER))


def test_start_by_kind_unless_measured() -> None:
    def start(target: object, **more: object) -> float:
        return offer(service(), None, state(target, **more)).start  # type: ignore[arg-type]

    assert start(FUNCTIONS) < start(CLUSTER) < start(QUEUE)
    assert offer(on_batch("EC2"), None, state(QUEUE)).start > start(QUEUE)
    local = spec("local", "local")
    assert start(local, isolated=False) < start(local)
    assert start(QUEUE, start=0.5) == 0.5


@pytest.mark.parametrize(
    ("running", "queued", "seconds"),
    [(0, 0, 0), (3, 0, 0), (4, 0, 2.5), (2, 1, 0), (4, 3, 10.0), (9, 0, 15.0)],
)
def test_wait_where_four_jobs_fit(running: int, queued: int, seconds: float) -> None:
    """Jobs of 10 s, four at once: one ends every 2.5 s."""
    made = offer(service(), None, state(CLUSTER, run=10.0, running=running, queued=queued))
    assert made.wait == seconds


@pytest.mark.parametrize(
    ("running", "queued", "seconds"), [(0, 0, 0), (100, 0, 0), (5, 10, 20.0), (0, 2, 20.0)]
)
def test_wait_where_no_bound_is_known(running: int, queued: int, seconds: float) -> None:
    made = offer(service(), None, state(FUNCTIONS, run=10.0, running=running, queued=queued))
    assert made.wait == seconds


def test_cores_and_memory_bound_what_fits() -> None:
    cores = state(spec("c", "oscar", cpu=Decimal(4)), run=10.0, running=2)
    assert offer(service(cpu="2"), None, cores).wait == 5.0
    assert offer(service(cpu="1"), None, cores).wait == 0.0
    room = state(spec("c", "oscar", memory=4 * GIB, slots=9), run=10.0, running=2)
    assert offer(service(memory=2 * GIB), None, room).wait == 5.0


def test_what_is_ahead_counts_with_its_own_seconds_and_cores() -> None:
    """A short job behind long and wide ones."""
    busy = state(CLUSTER, run=10.0, running=4, mean_run=600.0)
    assert offer(service(), None, busy).wait == 150.0
    assert offer(service(cpu="0.5"), None, replace(busy, mean_cpu=2.0)).wait == 600.0
    room = {"resize": Room(0, 4, ahead=1)}
    assert offer(service(), None, replace(busy, room=room)).wait == 300.0


def test_a_start_is_shorter_where_a_container_waits_and_longer_without_the_image() -> None:
    warm = state(FUNCTIONS, cold={"resize": 0.0})
    half = state(FUNCTIONS, cold={"resize": 0.5})
    assert offer(service(), None, warm).start == pytest.approx(0.05)
    assert offer(service(), None, half).start == pytest.approx(0.525)
    assert offer(service(), None, replace(half, start=3.0)).start == 3.0
    plain = offer(service(), None, state(CLUSTER)).start
    absent = state(CLUSTER, image={"resize": Image(size=1_250_000_000, present=False)})
    assert offer(service(), None, absent).start == pytest.approx(plain + 100)
    present = state(CLUSTER, image={"resize": Image(size=1_250_000_000, present=True)})
    assert offer(service(), None, present).start == plain


def test_transfer_by_the_way_that_the_bytes_take() -> None:
    size = 50 * MB

    def transfer(provider: str, target: object) -> float:
        return offer(service(), event(size, provider), state(target)).transfer  # type: ignore[arg-type]

    assert transfer("s3.default", FUNCTIONS) == pytest.approx(1.0)
    assert transfer("s3.default", CLUSTER) == pytest.approx(4.0)
    assert transfer("minio.default", CLUSTER) == pytest.approx(0.5)
    assert transfer("minio.default", QUEUE) == pytest.approx(4.0)


def test_outputs_are_as_large_as_the_input() -> None:
    size = 50 * MB
    one = service(outputs=(path(),))
    two = service(outputs=(path(), path(MINIO)))
    assert offer(one, event(size), state(FUNCTIONS)).transfer == pytest.approx(2.0)
    assert offer(two, event(size), state(FUNCTIONS)).transfer == pytest.approx(1.0 + 0.5 + 2.0)


def test_an_event_that_does_not_say_where_it_is_comes_from_the_first_input() -> None:
    asked = service(inputs=(path(MINIO),))
    assert offer(asked, event(50 * MB, ""), state(CLUSTER)).transfer == pytest.approx(0.5)


@pytest.mark.parametrize("size", [None, 0, -5])
def test_no_size_is_no_transfer(size: int | None) -> None:
    made = offer(service(outputs=(path(),)), event(size), state(FUNCTIONS))
    assert made.transfer == 0.0
    assert made == offer(service(outputs=(path(),)), None, state(FUNCTIONS))


def test_finish_is_the_sum_of_all() -> None:
    made = offer(service(), event(50 * MB), state(CLUSTER, run=10.0, running=4, start=3.0))
    assert made.finish == pytest.approx(2.5 + 3.0 + 10.0 + 4.0)


def test_a_price_is_split_into_time_requests_and_data_that_leaves() -> None:
    into = service(inputs=(path(S3),), outputs=(path(MINIO),))
    made = offer(into, event(GIB), state(FUNCTIONS, 10.0))
    prices = list_prices()
    assert made.request == prices.functions["us-east-1"].request
    assert made.egress.quantize(Decimal("0.0001")) == prices.egress["us-east-1"]
    assert made.cost > made.request + made.egress
    assert offer(into, None, state(CLUSTER)).egress == 0
