"""Stacks around the constructs: the base, and a file's services."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aws_cdk import Stack
from constructs import Construct

from bridge.errors import UsageError
from bridge.fdl import AwsOptions
from cdk.base import BridgeBase
from cdk.buckets import BridgeBuckets
from cdk.facts import Facts
from cdk.limits import most
from cdk.names import Base
from cdk.pool import Pool, imported
from cdk.service import BridgeService, tag
from cdk.settings import Settings
from cdk.wanted import Wanted

__all__ = ["BaseStack", "FileStack", "split"]


class BaseStack(Stack):  # type: ignore[misc]  # mypy does not follow aws_cdk
    """The base of an account and region; the same whatever files are deployed beside it."""

    def __init__(
        self,
        scope: Construct,
        *,
        base: Base,
        facts: Facts,
        settings: Settings,
        code: str,
        assets: str,
        **options: Any,
    ) -> None:
        description = "OSCAR Bridge: dispatcher, queues and what all services share"
        super().__init__(scope, base.prefix, description=description, **options)
        tag(self, {"createdby": "oscar-bridge", **settings.tags}, base.prefix)
        self.bridge = BridgeBase(
            self,
            "Base",
            base=base,
            facts=facts,
            code=code,
            assets=assets,
            alarms=settings.alarms,
            variables=settings.variables,
            layer=settings.layer,
        )


class FileStack(Stack):  # type: ignore[misc]
    """Services of one FDL file. `buckets` are those that this stack makes or watches."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        base: Base,
        facts: Facts,
        settings: Settings,
        services: Sequence[Wanted],
        buckets: Sequence[str],
        watched: Sequence[str],
        folder: Path,
        **options: Any,
    ) -> None:
        description = f"OSCAR Bridge: services of {settings.name}"
        super().__init__(scope, name, description=description, **options)
        tag(self, {"createdby": "oscar-bridge", **settings.tags}, settings.name)
        BridgeBuckets(self, "Buckets", facts=facts, names=buckets, watched=watched)
        queues: dict[str, str] = {}
        for service in services:
            BridgeService(
                self,
                service.name,
                service=service,
                base=base,
                deployment=settings.name,
                folder=folder,
                queue=self._queue(service, base, queues),
                public=facts.public,
                alarms=settings.alarms,
            )

    def _queue(self, service: Wanted, base: Base, queues: dict[str, str]) -> str:
        """The queue that all services of the same machines share."""
        if service.machines is None:
            return ""
        digest = service.machines.digest(self.stack_name)
        if digest not in queues:
            pool = Pool(
                self,
                f"Pool-{digest}",
                name=f"{base.prefix}-{digest}",
                machines=service.machines,
                around=imported(base),
            )
            queues[digest] = pool.name
        return queues[digest]


def split(services: Sequence[Wanted], buckets: int, settings: Settings) -> list[list[Wanted]]:
    """The services of each stack; a service stays where it is while the number of stacks does.

    UsageError with the number that would do, when a stack would have too many.
    """
    if _fits(services, buckets, settings.stacks):
        return _shards(services, settings.stacks)
    needed = settings.stacks
    while not _fits(services, buckets, needed):
        needed += 1
    raise UsageError(
        f"{settings.fdl} has {len(services)} services on AWS, too many for "
        f"{settings.stacks} stack{'s' * (settings.stacks != 1)}",
        hint=f"spread them with -c stacks={needed}",
    )


def _fits(services: Sequence[Wanted], buckets: int, stacks: int) -> bool:
    for number, shard in enumerate(_shards(services, stacks)):
        made = sum(map(_resources, shard)) + (2 * buckets + 4 if number == 0 else 0)
        made += 2 * len({json.dumps(str(one.machines)) for one in shard if one.machines})
        few = len(shard) <= most("stack.services") and made <= most("cloudformation.resources")
        if not few and len(shard) > 1:
            return False
    return True


def _shards(services: Sequence[Wanted], stacks: int) -> list[list[Wanted]]:
    shards: list[list[Wanted]] = [[] for _ in range(stacks)]
    for service in services:
        digest = hashlib.sha256(service.name.encode()).digest()
        shards[int.from_bytes(digest[:8]) % stacks].append(service)
    return shards


def _resources(service: Wanted) -> int:
    """How many resources a service is, at the most."""
    options = service.service.options
    front = isinstance(options, AwsOptions) and options.api_gateway is not None
    job = service.job is not None
    return 2 + len(service.triggers) + 4 * service.function + job + 6 * front
