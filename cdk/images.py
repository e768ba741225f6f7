"""The images that run: the service images of our registry, or those of the file as they are."""

from __future__ import annotations

import sys
from contextlib import closing

from bridge.images import REPOSITORY, Ecr, ImagePlan, ServiceImages
from bridge.targets.aws import Account
from cdk.names import Base
from cdk.selection import Selection
from cdk.settings import Settings

__all__ = ["images_of"]


def images_of(
    selection: Selection, settings: Settings, base: Base, account: Account
) -> dict[str, str]:
    """The image of each service by its name; with `settings.push` those that lack are pushed.

    Raises what `bridge.images` does: an image that is not there, no engine, no access.
    """
    if settings.images == "as-is" or not selection.services:
        return {}
    repository = f"{base.registry}/{REPOSITORY}"
    known: dict[tuple[str, str], ImagePlan] = {}
    found: dict[str, str] = {}
    with closing(ServiceImages(ecr=Ecr(lambda _region: account.client("ecr")))) as maker:
        for one in selection.services:
            key = (one.service.image, one.service.arch)
            if key not in known:
                known[key] = maker.plan_for(one.service, repository=repository, push=True)
            found[one.service.name] = str(known[key].target)
        for plan in known.values():
            if settings.push and plan.steps:
                print(f"pushing {plan.target}: {plan.why}", file=sys.stderr)
                maker.apply(plan)
    return found
