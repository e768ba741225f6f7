"""Where services are on day two: on AWS and on OSCAR clusters, behind the same few questions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from bridge.dispatch import JobDetail, JobRecord
from bridge.errors import NotFoundError, UsageError
from bridge.operate.audit import Explanation
from bridge.operate.deployed import Status
from bridge.operate.lines import Line
from bridge.operate.submit import Submitted
from bridge.operate.transfer import NamedFile, Place
from bridge.targets import JobState

__all__ = ["Side", "holder", "sides_known"]

Told = Callable[[Submitted], None]


class Side(Protocol):
    """AWS in one region, or one cluster. Nothing is asked before a method is called."""

    name: str
    """What the side is called in messages."""

    scheme: str
    """The scheme of URLs of its buckets: `s3` or `minio`."""

    region: str
    """AWS's region, "" for a cluster."""

    def statuses(self) -> list[Status]:
        """The services that are there, and how they stand now."""
        ...

    def has(self, service: str) -> bool:
        """Whether the service is there."""
        ...

    def jobs(self, service: str, states: Sequence[JobState], limit: int) -> list[JobRecord]:
        """The newest jobs, of all services or of one."""
        ...

    def job(self, job: str) -> JobDetail | None:
        """All that is known of one job; None when it is not one of this side."""
        ...

    def explained(self, name: str) -> Explanation | None:
        """Why the job of that name went where it did, or where one of the service would go now.

        None for a name that the side does not know, and where it keeps no decisions.
        """
        ...

    def compared(self, policy: str, service: str, since: float, limit: int) -> dict[str, Any]:
        """What `bridge.operate.audit.report_json` makes of decisions (of a service) since then."""
        ...

    def lines(self, service: str, since: float, *, follow: bool) -> Iterator[Line]:
        """The lines of a service's logs since a time, oldest first; with `follow` as they come."""
        ...

    def lines_of(
        self, service: str, job: str, since: float, *, follow: bool, said: Callable[[str], None]
    ) -> Iterator[Line]:
        """The lines of a job, with `follow` until it is over; `said` hears why it failed.

        NotFoundError when the service has no such job.
        """
        ...

    def place(self, service: str, *, outputs: bool) -> Place:
        """The folder of its first input, or the one of its outputs. UsageError without one."""
        ...

    def bucket(self, url: str) -> Place:
        """The place at a URL of this side."""
        ...

    def invoke(self, service: str, body: bytes) -> bytes:
        """The reply to one synchronous request."""
        ...

    def submit(self, service: str, files: Sequence[NamedFile], done: Told) -> list[Submitted]:
        """Start a job for each file."""
        ...

    def awaited(
        self,
        service: str,
        handed: Sequence[Submitted],
        known: frozenset[str],
        *,
        timeout: float,
    ) -> Iterator[JobRecord]:
        """The ended jobs of what was handed over, as they end. `known` were there before."""
        ...

    def known(self, service: str) -> frozenset[str]:
        """The newest jobs that the service has at this moment."""
        ...


def sides_known(
    *, profile: str, region: str, prefix: str, cluster: str = "", manager: str = ""
) -> list[Side]:
    """The sides that this user has: the clusters that are known, and AWS.

    AWS is left out where clusters are known and nothing names an account or a region; boto3 is not
    loaded then. `cluster`, or the URL `manager`, leaves all others out; UsageError when it is not
    known.
    """
    from bridge.targets.oscar.access import (  # noqa: PLC0415
        ENVIRONMENT,
        chosen_cluster,
        known_clusters,
    )

    if chosen := chosen_cluster(cluster, manager):
        return [_of_cluster(chosen)]
    # Of oscar-cli's clusters, those of an OIDC agent cannot be asked; the environment's is meant.
    usable = (one for one in known_clusters() if one.method or one.source == ENVIRONMENT)
    sides = [_of_cluster(one) for one in usable]
    if not sides or profile or region or _region_is_set():
        from bridge.operate.aws import AwsSide  # noqa: PLC0415
        from bridge.operate.session import account_for  # noqa: PLC0415

        sides.append(AwsSide(account_for(profile=profile, region=region, prefix=prefix)))
    return sides


def _of_cluster(access: object) -> Side:
    from bridge.operate.clusters import ClusterSide  # noqa: PLC0415
    from bridge.targets.oscar import ClusterAccess, OscarClient  # noqa: PLC0415

    assert isinstance(access, ClusterAccess)
    return ClusterSide(OscarClient(access))


def _region_is_set() -> bool:
    return any(os.environ.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION"))


def holder(sides: Sequence[Side], service: str) -> Side:
    """The one side that has a service. A lone side is not asked: it says itself what it lacks.

    NotFoundError when none has it, UsageError when more than one does.
    """
    if len(sides) == 1:
        return sides[0]
    found = [side for side in sides if side.has(service)]
    if not found:
        places = ", ".join(side.name for side in sides)
        raise NotFoundError(
            f"there is no service {service!r} on {places}", hint="oscar-bridge ls lists them"
        )
    if len(found) > 1:
        places = " and ".join(side.name for side in found)
        raise UsageError(
            f"service {service} is on {places}", hint="--cluster names one of the clusters"
        )
    return found[0]
