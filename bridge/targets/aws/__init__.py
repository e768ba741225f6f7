"""The AWS targets: Lambda functions and Batch jobs, driven through boto3.

Nothing here knows whether the endpoint is Amazon's, an emulator by URL or the embedded one: boto3
reads AWS_ENDPOINT_URL, profiles and credentials as it always does.
"""

from collections.abc import Mapping

from bridge.fdl.model import ProviderRef, TargetSpec
from bridge.targets.aws.account import Account, AccountSettings
from bridge.targets.aws.batch import BatchTarget
from bridge.targets.aws.buckets import Buckets
from bridge.targets.aws.deployed import Deployed
from bridge.targets.aws.functions import LambdaTarget
from bridge.targets.aws.pulled import PulledBuckets
from bridge.targets.aws.source import QueueSource
from bridge.targets.render import ProviderAccess

__all__ = [
    "Account",
    "AccountSettings",
    "BatchTarget",
    "Buckets",
    "Deployed",
    "LambdaTarget",
    "PulledBuckets",
    "QueueSource",
    "aws_target",
]


def aws_target(
    spec: TargetSpec, account: Account, access: Mapping[ProviderRef, ProviderAccess]
) -> LambdaTarget | BatchTarget:
    """The target of a `lambda` or `batch` spec in an account."""
    kind = LambdaTarget if spec.kind == "lambda" else BatchTarget
    return kind(spec, account, access)
