"""The scheduler: filter, score, pick, and say why. Pure: values in, values out.

A target makes an Offer for a service; a policy weighs the offers; a Decision holds the choice with
every other candidate and its reasons. Limits, prices and typical start times are dated data.
"""

from bridge.scheduler._batch import decide_all
from bridge.scheduler._constraints import constraints, in_time
from bridge.scheduler._data import start_of
from bridge.scheduler._decide import decide
from bridge.scheduler._filters import Passing
from bridge.scheduler._given import cause_in, snapshot_in
from bridge.scheduler._json import as_json, from_json
from bridge.scheduler._kinds import batch_platform
from bridge.scheduler._offers import offer, run_cost
from bridge.scheduler._policies import POLICIES, Policy, policy_named
from bridge.scheduler._prices import Prices, list_prices
from bridge.scheduler._replay import Actual, Comparison, Figures, Past, Report, replay
from bridge.scheduler._sizes import FargateSize, LambdaSize, fargate_size, lambda_size
from bridge.scheduler._snapshot import snapshot_of
from bridge.scheduler._terms import Scale, Seen, TermKind
from bridge.scheduler._together import Hop, Link, Together, Totals, decide_together
from bridge.scheduler._trials import TRIAL_VARIABLES, Trial, instead_of
from bridge.scheduler.model import (
    Candidate,
    Cause,
    Decision,
    Estimate,
    Hedge,
    Image,
    Instead,
    Machines,
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
    "TRIAL_VARIABLES",
    "Actual",
    "Candidate",
    "Cause",
    "Comparison",
    "Decision",
    "Estimate",
    "FargateSize",
    "Figures",
    "Hedge",
    "Hop",
    "Image",
    "Instead",
    "LambdaSize",
    "Link",
    "Machines",
    "Offer",
    "Passing",
    "Past",
    "Policy",
    "Prices",
    "Reason",
    "Report",
    "Room",
    "Scale",
    "Seen",
    "Snapshot",
    "Spent",
    "TargetState",
    "Term",
    "TermKind",
    "Together",
    "Totals",
    "Transfer",
    "Trial",
    "as_json",
    "batch_platform",
    "cause_in",
    "constraints",
    "decide",
    "decide_all",
    "decide_together",
    "fargate_size",
    "from_json",
    "in_time",
    "instead_of",
    "lambda_size",
    "list_prices",
    "offer",
    "policy_named",
    "replay",
    "run_cost",
    "snapshot_in",
    "snapshot_of",
    "start_of",
]
