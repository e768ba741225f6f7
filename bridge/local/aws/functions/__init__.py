"""Image functions that really run: the Lambda service behind the local endpoint.

    Function + event → Pool → Environment (a task that polls the Runtime API) → Outcome

An environment serves one invocation at a time and is kept warm; `AsyncInvoker` has the queue,
retries and destinations of asynchronous invocations.
"""

from bridge.local.aws.functions.asynchronous import AsyncEvent, AsyncInvoker, AsyncPolicy, Reply
from bridge.local.aws.functions.model import Function, Invocation, Outcome
from bridge.local.aws.functions.pool import Pool
from bridge.local.aws.functions.requests import Refusal, is_invocation, refusal

__all__ = [
    "AsyncEvent",
    "AsyncInvoker",
    "AsyncPolicy",
    "Function",
    "Invocation",
    "Outcome",
    "Pool",
    "Refusal",
    "Reply",
    "is_invocation",
    "refusal",
]
