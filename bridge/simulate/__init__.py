"""The simulator: what a policy would do to a world of targets, in minutes instead of days.

Pure: a world, a trace and a seed in, a result out. Needs numpy (the extra `simulate`).
"""

from bridge.simulate._engine import simulate
from bridge.simulate._loaders import azure_2019, load_trace
from bridge.simulate._policies import policy_maker
from bridge.simulate._summary import summary
from bridge.simulate._synthetic import synthetic
from bridge.simulate._worlds import model_of, standard_world, world_of
from bridge.simulate.model import (
    BatchModel,
    Call,
    ClusterModel,
    Decider,
    FunctionsModel,
    Information,
    Link,
    Maker,
    Place,
    Result,
    Setting,
    Spread,
    Summary,
    TargetModel,
    Trace,
    View,
    Waiting,
    Workload,
    World,
)

__all__ = [
    "BatchModel",
    "Call",
    "ClusterModel",
    "Decider",
    "FunctionsModel",
    "Information",
    "Link",
    "Maker",
    "Place",
    "Result",
    "Setting",
    "Spread",
    "Summary",
    "TargetModel",
    "Trace",
    "View",
    "Waiting",
    "Workload",
    "World",
    "azure_2019",
    "load_trace",
    "model_of",
    "policy_maker",
    "simulate",
    "standard_world",
    "summary",
    "synthetic",
    "world_of",
]
