"""The dispatcher on AWS: it lives from message to message, and the job table is its memory.

    events ── intake ──► worker: accept → place → submit ──► Lambda, Batch
    states ── news ────► worker: record, try again, give up ──► dead-letter queue
    schedule ─ reconcile ► whatever was dropped
    HTTP ──── web ─────► the same worker

`bridge.dispatch` has the rules, `bridge.scheduler` decides, `bridge.targets.aws` submits.
"""

from lambda_runtime.dispatcher.environment import Environment
from lambda_runtime.dispatcher.handlers import Dispatcher
from lambda_runtime.dispatcher.web import Answer, Request
from lambda_runtime.dispatcher.world import World

__all__ = ["Answer", "Dispatcher", "Environment", "Request", "World"]
