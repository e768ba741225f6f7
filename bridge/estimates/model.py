"""The values that estimates are made from, and what is shown of them. All frozen."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

__all__ = ["Accuracy", "Observation", "Prediction"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a decision said of the target that it chose: seconds of the script, and until all is
    over; of the start and of moving data, None where it did not say."""

    run: float
    finish: float
    start: float | None = None
    transfer: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What one attempt of a job on one target has shown. None: it says nothing of that.

    `at` is its end, in seconds since the epoch. `run` are the seconds of the script, `start` those
    from the submit until it ran, `finish` those from the decision to the end; `size` the bytes of
    its input. `stage_in` and `stage_out` are seconds and bytes. `failed` says whether the target
    has let the attempt down: a script's own failure is False. `cost` is in USD at list prices,
    `cores` are what its service asks for. `held` are the seconds that it had a container, `cold`
    says that this had run no job before.
    """

    service: str
    target: str
    at: float
    run: float | None = None
    start: float | None = None
    finish: float | None = None
    size: int | None = None
    stage_in: tuple[float, int] | None = None
    stage_out: tuple[float, int] | None = None
    failed: bool | None = None
    cost: Decimal = Decimal(0)
    owner: str = ""
    predicted: Prediction | None = None
    cores: float | None = None
    held: float | None = None
    cold: bool | None = None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What is known of a service's runs on a target, and how well they were foretold.

    `run` and `late` are the median and the 95th percentile in seconds, None below three runs.
    `samples` counts runs, `confidence` is 0 to 1. `error`, `start_error`, `transfer_error` and
    `finish_error` are mean relative errors of what decisions said of the run, the start, moving
    data and the whole (0.1: 10 % off), None before any was compared. `drifts` counts the times that
    runs changed for good; `drifting` says that this was lately.
    """

    service: str
    target: str
    samples: int
    run: float | None
    late: float | None
    confidence: float
    error: float | None
    finish_error: float | None
    compared: int
    drifts: int
    drifting: bool
    start_error: float | None = None
    transfer_error: float | None = None
