"""The numbers of a result that are compared."""

from __future__ import annotations

import numpy as np

from bridge.simulate.model import Floats, Result, Summary, Trace, World


def summary(result: Result, trace: Trace, world: World) -> Summary:
    """What came of a run, in one row."""
    done = result.done
    response = (result.end - result.arrival)[done]
    p50, p95, p99 = _quantiles(response)
    has_due = np.isfinite(result.due)
    ran = np.isfinite(result.start)
    ends = result.end[np.isfinite(result.end)]
    placed = np.bincount(result.target[result.target >= 0], minlength=len(world.places))
    return Summary(
        decider=result.decider,
        invocations=len(trace),
        done=int(done.sum()),
        p50=p50,
        p95=p95,
        p99=p99,
        mean=float(response.mean()) if len(response) else 0.0,
        makespan=float(ends.max() - trace.arrival.min()) if len(ends) else 0.0,
        cost=float(result.cost.sum()),
        missed=float((~result.met[has_due]).mean()) if has_due.any() else 0.0,
        cold=float(result.cold[ran].mean()) if ran.any() else 0.0,
        fairness=_fairness(result, trace),
        by_target={
            place.spec.name: int(count) for place, count in zip(world.places, placed, strict=True)
        },
        notes=result.notes,
    )


def _quantiles(response: Floats) -> tuple[float, float, float]:
    if not len(response):
        return 0.0, 0.0, 0.0
    p50, p95, p99 = np.quantile(response, (0.5, 0.95, 0.99))
    return float(p50), float(p95), float(p99)


def _fairness(result: Result, trace: Trace) -> float:
    """Jain's index, (sum x)^2 / (n sum x^2), of the owners' mean slowdowns (response / run)."""
    names = sorted({workload.owner for workload in trace.workloads})
    of_workload = np.array([names.index(w.owner) for w in trace.workloads], dtype=np.int64)
    done = result.done & (trace.run > 0)
    if not done.any():
        return 1.0
    slowdown = (result.end - result.arrival)[done] / trace.run[done]
    owner = of_workload[trace.workload[done]]
    counts = np.bincount(owner, minlength=len(names))
    sums = np.bincount(owner, weights=slowdown, minlength=len(names))
    means = sums[counts > 0] / counts[counts > 0]
    return float(means.sum() ** 2 / (len(means) * (means**2).sum()))
