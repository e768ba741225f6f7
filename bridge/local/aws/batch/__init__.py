"""AWS Batch with jobs that really run.

BatchApi (requests → values, refusals) → BatchEngine (states, dependencies, capacity)
  → attempt (one run of a task) → retry rules → events of each change of state
"""

from bridge.local.aws.batch.api import BatchApi
from bridge.local.aws.batch.cloudformation import resource_handlers
from bridge.local.aws.batch.engine import BatchEngine

__all__ = ["BatchApi", "BatchEngine", "resource_handlers"]
