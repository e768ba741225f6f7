"""Lambda and Batch of one account as targets of a manager, and what its services need there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from bridge.fdl.model import ProviderRef, Service, TargetSpec
from bridge.targets import Target
from bridge.targets.aws import Account, aws_target
from bridge.targets.render import ProviderAccess

__all__ = ["AwsSide"]


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
        self._lock = threading.Lock()
        self._prepared = False

    def image(self, service: Service) -> Service:
        """The service with its image there; what all services share is there then, too."""
        with self._lock:
            if not self._prepared:
                self._account.prepare()
                self._prepared = True
        return self._image(service)
