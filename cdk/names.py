"""What everything is called: names and ARNs that follow from prefix, account and region alone.

Stacks find each other's things by name, so that none holds another's export for longer than it must
and the base stack is the same whatever files are deployed beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.targets.aws.definitions import secret_name

__all__ = ["Base"]


@dataclass(frozen=True, slots=True)
class Base:
    """The base stack of an account and region as other stacks see it.

    A value, not a construct: it also names a base that another app has deployed.
    """

    prefix: str
    account: str
    region: str
    partition: str = "aws"

    @property
    def bucket(self) -> str:
        """The work bucket."""
        return f"{self.prefix}-{self.account}-{self.region}"

    @property
    def assets(self) -> str:
        """The bucket of assets where the account is not bootstrapped for the CDK."""
        return f"{self.prefix}-assets-{self.account}-{self.region}"

    @property
    def reports(self) -> str:
        """The s3:// prefix of the jobs' reports."""
        return f"s3://{self.bucket}/reports/"

    @property
    def claims(self) -> str:
        """The s3:// prefix where runs say which attempts they have."""
        return f"s3://{self.bucket}/runs/"

    @property
    def table(self) -> str:
        """The table of jobs."""
        return f"{self.prefix}-jobs"

    @property
    def tokens(self) -> str:
        """The secret with the HTTP interface's tokens. No service can be called so."""
        return f"{self.prefix}/base/tokens"

    @property
    def parameter(self) -> str:
        """The parameter that tells of the base."""
        return f"/{self.prefix}/base"

    @property
    def registry(self) -> str:
        """The account's own ECR registry in the region."""
        suffix = "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"
        return f"{self.account}.dkr.ecr.{self.region}.{suffix}"

    def queue(self, kind: str) -> str:
        """A queue of messages: events, states, events-dead or states-dead."""
        return f"{self.prefix}-{kind}"

    def function(self, kind: str) -> str:
        """A function of the dispatcher: events, states, reconcile or api."""
        return f"{self.prefix}-{kind}"

    def batch_queue(self, platform: str) -> str:
        """The shared job queue of a platform, which is its compute environment's name too."""
        return f"{self.prefix}-{platform.lower()}"

    def service_parameter(self, service: str) -> str:
        """The parameter that tells of a service."""
        return f"/{self.prefix}/services/{service}"

    def secret(self, service: str) -> str:
        """The secret of a service."""
        return secret_name(self.prefix, service)

    def export(self, what: str) -> str:
        """The CloudFormation export of something whose id only the base stack knows."""
        return f"{self.prefix}-{what}"

    def arn(self, service: str, resource: str) -> str:
        """An ARN in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def s3_arn(self, path: str) -> str:
        """The ARN of a bucket, or of objects as `bucket/key`."""
        return f"arn:{self.partition}:s3:::{path}"
