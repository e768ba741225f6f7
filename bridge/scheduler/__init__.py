"""The scheduler: filter, score, pick, and say why. Pure: values in, values out.

A target makes an Offer for a service; a policy weighs the offers; a Decision holds the choice with
every other candidate and its reasons. Limits, prices and typical start times are dated data.
"""

from bridge.scheduler._decide import decide
from bridge.scheduler._json import as_json, from_json
from bridge.scheduler._kinds import batch_platform
from bridge.scheduler._offers import offer, run_cost
from bridge.scheduler._policies import POLICIES, Policy
from bridge.scheduler._prices import Prices, list_prices
from bridge.scheduler._sizes import FargateSize, LambdaSize, fargate_size, lambda_size
from bridge.scheduler._snapshot import snapshot_of
from bridge.scheduler.model import (
    Candidate,
    Decision,
    Estimate,
    Offer,
    Reason,
    Room,
    Snapshot,
    Spent,
    TargetState,
    Term,
    Transfer,
)

__all__ = [
    "POLICIES",
    "Candidate",
    "Decision",
    "Estimate",
    "FargateSize",
    "LambdaSize",
    "Offer",
    "Policy",
    "Prices",
    "Reason",
    "Room",
    "Snapshot",
    "Spent",
    "TargetState",
    "Term",
    "Transfer",
    "as_json",
    "batch_platform",
    "decide",
    "fargate_size",
    "from_json",
    "lambda_size",
    "list_prices",
    "offer",
    "run_cost",
    "snapshot_of",
]
