"""An AWS endpoint on this machine: an emulator's API with our engines behind Lambda and Batch.

    AwsEndpoint (here) ── starts ──► python -m bridge.local.aws
                                       emulator: S3, SQS, events, logs, IAM, CloudFormation, …
                                       functions: image functions behind a real Runtime API
                                       batch: queues, arrays, dependencies, retries
                                       executors: containers, or plain processes

Only `emulator` knows which emulator it is.
"""

from bridge.local.aws.model import Settings
from bridge.local.aws.server import AwsEndpoint

__all__ = ["AwsEndpoint", "Settings"]
