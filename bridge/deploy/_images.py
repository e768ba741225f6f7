"""The images that the stacks name and that are ours to push."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing

from bridge.deploy.model import Assembly, ImageStep
from bridge.images import REPOSITORY, Ecr, ImagePlan, ServiceImages
from bridge.targets.aws.account import Account

__all__ = ["Images", "image_steps", "service_images"]

Images = Callable[[Account], AbstractContextManager[ServiceImages]]


def service_images(account: Account) -> AbstractContextManager[ServiceImages]:
    """Makes images with this account's credentials for its registry."""
    return closing(ServiceImages(ecr=Ecr(lambda _region: account.client("ecr"))))


def repository(account: Account) -> str:
    """The registry and repository of service images in this account."""
    suffix = "amazonaws.com.cn" if account.region.startswith("cn-") else "amazonaws.com"
    return f"{account.id}.dkr.ecr.{account.region}.{suffix}/{REPOSITORY}"


def image_steps(
    account: Account, assembly: Assembly, services: Iterable[str], images: Images
) -> Iterator[ImageStep]:
    """A step for each image of ours that the templates name and the registry lacks."""
    document = assembly.document
    text = json.dumps([stack.template for stack in assembly.stacks])
    if document is None or f"/{REPOSITORY}:" not in text:
        return
    found: dict[str, tuple[ImagePlan, list[str]]] = {}
    with images(account) as maker:
        known: dict[tuple[str, str], ImagePlan] = {}
        for name in services:
            service = document.service(name)
            key = (service.image, service.arch)
            if key not in known:
                known[key] = maker.plan_for(service, repository=repository(account), push=True)
            plan = known[key]
            if plan.steps and str(plan.target) in text:
                found.setdefault(str(plan.target), (plan, []))[1].append(name)
    for plan, names in found.values():
        yield ImageStep(plan, tuple(names))
