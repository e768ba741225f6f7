"""Lambda and Batch of one account as targets of a manager, and what its services need there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from bridge.errors import UsageError
from bridge.fdl.model import ProviderRef, Service, TargetSpec
from bridge.scheduler import TargetState
from bridge.targets import Target
from bridge.targets.aws import Account, AccountSettings, aws_target
from bridge.targets.aws.account import translated
from bridge.targets.render import ProviderAccess
from manager.settings import Reader

__all__ = ["AwsSide", "account_for", "made_image", "runtime_mark", "specs_of"]

_TARGETS: Final = "BRIDGE_AWS_TARGETS"
_IMAGES: Final = "OSCAR_BRIDGE_IMAGES"
_PUSH: Final = "push"
# What Batch may use at once; machines are there, and paid, while jobs run.
_CORES: Final = 256


class AwsSide:
    """The targets of some specs, by name. The account is asked nothing before a service needs it.

    `image` makes what a service runs there: by default the image as it is named.
    """

    def __init__(
        self,
        account: Account,
        specs: Sequence[TargetSpec],
        access: Mapping[ProviderRef, ProviderAccess],
        image: Callable[[Service], Service] = lambda service: service,
    ) -> None:
        self.targets: dict[str, Target] = {
            spec.name: aws_target(spec, account, access) for spec in specs
        }
        self._account = account
        self._image = image
        self._specs = {spec.name: spec for spec in specs}
        self._lock = threading.Lock()
        self._prepared = False

    def look(self) -> None:
        """Ask how many invocations may run at once."""
        for name, spec in self._specs.items():
            if spec.kind == "lambda":
                with translated("settings of Lambda"):
                    found = self._account.client("lambda").get_account_settings()
                room = found["AccountLimit"]["UnreservedConcurrentExecutions"]
                self._specs[name] = replace(spec, slots=int(room))

    def state(self, known: TargetState) -> TargetState:
        """What is known of a target, with the room that there is."""
        return replace(known, spec=self._specs.get(known.spec.name, known.spec))

    def image(self, service: Service) -> Service:
        """The service with its image there; what all services share is there then, too."""
        with self._lock:
            if not self._prepared:
                self._account.prepare()
                self._prepared = True
        return self._image(service)


def specs_of(read: Reader) -> list[TargetSpec]:
    """The targets that BRIDGE_AWS_TARGETS names; UsageError for what is missing or unknown."""
    found = []
    for name in read.words(_TARGETS):
        if name not in ("lambda", "batch"):
            said = f"{_TARGETS}: {name!r} is no target on AWS"
            raise UsageError(said, hint="known are lambda and batch")
        region, _ = _region(read), read.required("BRIDGE_AWS_ROLE")
        if name == "lambda":
            found.append(TargetSpec(name, "lambda", region))
            continue
        read.required("BRIDGE_AWS_SUBNETS")
        machines = {
            "max_v_cpus": _CORES,
            "subnets": tuple(read.words("BRIDGE_AWS_SUBNETS")),
            "security_group_ids": tuple(read.words("BRIDGE_AWS_SECURITY_GROUPS")),
        }
        found.append(TargetSpec(name, "batch", region, cpu=Decimal(_CORES), settings=machines))
    return found


def _region(read: Reader) -> str:
    """UsageError when none is named."""
    if not (region := read.text("AWS_REGION", read.text("AWS_DEFAULT_REGION", ""))):
        raise UsageError(f"{_TARGETS} is set, and AWS_REGION is not")
    return region


def account_for(read: Reader, own: str) -> Account:
    """The account with what a manager makes there; `own` tells it from other managers."""
    name = f"oscar-bridge-{own}"
    role = read.text("BRIDGE_AWS_ROLE", "")
    return Account(AccountSettings(name, _region(read), role=role, prefix=f"{name}-"))


def runtime_mark() -> str:
    """A name of what is laid on images: another when they have to be made anew."""
    from bridge.images import Bundle  # noqa: PLC0415  (heavy)

    return Bundle.own().digest


def made_image(read: Reader, account: Account) -> Callable[[Service], Service]:
    """Makes a service's image runnable on AWS, in the account's own registry, as `apply` does."""
    said = read.text(_IMAGES, _PUSH)
    if said == "as-is":
        return lambda service: service
    if said != _PUSH:
        raise UsageError(f"{_IMAGES}={said!r} is not known", hint="known are push and as-is")
    from bridge.deploy import repository, service_images  # noqa: PLC0415  (heavy)

    def made(service: Service) -> Service:
        # Anew each time: what a registry gives for a login ends after some hours.
        with service_images(account) as images:
            plan = images.plan_for(service, repository=repository(account), push=True)
            return replace(service, image=str(images.apply(plan).target))

    return made
