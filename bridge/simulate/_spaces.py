"""How many more jobs of each size there is room for, on the targets where that can be counted."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from bridge.simulate.model import ClusterModel, Trace, World

Shape = tuple[float, float]  # cores and bytes of one job
EXACT = 1e-9  # cores: a sum of fractions is not exact


class Spaces:
    """For each shape of a job and each target: jobs that fit now, on all machines of today, and on
    those that can be added. Clusters at work write it."""

    def __init__(self, world: World, trace: Trace) -> None:
        resources = [workload.service.resources for workload in trace.workloads]
        each = [(float(needs.cpu), float(needs.memory)) for needs in resources]
        self.shapes: list[Shape] = sorted(set(each))
        place = {shape: i for i, shape in enumerate(self.shapes)}
        self.shape_of = [place[shape] for shape in each]
        self.targets = len(world.places)
        count = len(self.shapes) * self.targets
        self.now = array("q", [0]) * count
        self.ever = array("q", [0]) * count
        self.more = array("q", [0]) * count
        models = [one.model for one in world.places]
        self.known = np.array([isinstance(m, ClusterModel) for m in models], dtype=np.bool_)
        self.delay = np.array(
            [m.node_delay if isinstance(m, ClusterModel) else 0.0 for m in models]
        )

    def row(self, part: array[int], shape: int) -> NDArray[np.int64]:
        """The numbers of one shape, in place."""
        start = shape * self.targets * part.itemsize
        return np.frombuffer(part, dtype=np.int64, count=self.targets, offset=start)

    def machines(self, target: int, model: ClusterModel, nodes: int) -> None:
        """The target has so many nodes now."""
        spare = max(max(model.nodes, model.most_nodes) - nodes, 0)
        for i, shape in enumerate(self.shapes):
            each = fit(model.cpu, model.memory, shape)
            self.ever[i * self.targets + target] = each * nodes
            self.more[i * self.targets + target] = each * spare


def fit(cpu: float, memory: float, shape: Shape) -> int:
    """How many jobs of this shape so much takes; none when it is less than nothing."""
    if memory < 0:
        return 0
    cores, size = shape
    if not cores:
        return int(memory / size) if size else 1_000_000
    most = int((cpu + EXACT) / cores)
    return min(most, int(memory / size)) if size else most
