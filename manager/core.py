"""The manager itself: services that come and go, and the queue that runs them.

Nothing here knows HTTP. What a caller may see or change is asked of `manager.access`.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final

from bridge.dispatch import Dispatcher, IngestResult
from bridge.dispatch.model import OPEN_STATES
from bridge.errors import (
    BridgeError,
    NotFoundError,
    PlacementError,
    TemporaryError,
    UsageError,
    WaitError,
)
from bridge.events import Event
from bridge.fdl.model import Document, ProviderRef, StorageProvider, TargetSpec
from bridge.pipeline import build
from bridge.scheduler import decide
from bridge.secret import Secret
from bridge.targets.render import ProviderAccess
from manager.access import ConflictError
from manager.accounts import Accounts
from manager.auth import Caller
from manager.calls import CallLog
from manager.cloud import S3, check_input, has_keys, is_cloud
from manager.handed import named_job
from manager.inputs import Inputs
from manager.isolation import with_outputs_of
from manager.parts import Parts
from manager.places import Places
from manager.pulling import heard, listed_source, made_at, routes_of
from manager.quotas import Quotas
from manager.rollout import Ground, Rollouts
from manager.service import Deployed, Source, deployed, merged
from manager.settings import Settings
from manager.sharing import Hands, Sharing, row_of
from manager.store import ServiceRow
from manager.stored import Stored
from manager.tenants import Tenants
from manager.trials import Trials
from manager.vo import with_vo
from manager.volumes import check_volume, end_volume, give_volume

__all__ = ["ConflictError", "Manager", "Parts"]

LOG: Final = logging.getLogger("manager")
_A_WHILE: Final = 2.0
_SOON: Final = 30.0  # seconds until a service that could not be made runnable is tried again
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_IMAGES: Final = "allowed_image_repositories"


class Manager:
    """Services by REST over a dispatcher. Thread-safe; changes happen one after the other.

    What `create`, `update` or `delete` has returned from survives the death of this process.
    `ingest` works before `start`, so that a store may look for its webhook then.
    """

    def __init__(
        self, settings: Settings, parts: Parts, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self.parts = parts
        self._clock = clock
        self._services: Mapping[str, Deployed] = {}
        hands = Hands(
            lambda: self._services, self._deployed, self._serve, self._runnable, self._forget
        )
        self._sharing = Sharing(parts.state, hands)
        ground = Ground(parts, self._sharing.change, self._is_wanted)
        self.rollouts = Rollouts(parts.targets, ground)
        self.places = Places(parts, self.rollouts, lambda: self.dispatcher)
        self._services = self._sharing.kept()
        document = self._document(self._services)
        self._routes = routes_of(document)
        self.served = document.services
        self.trials = Trials(settings.trial)
        self.quotas = Quotas(
            parts.state,
            parts.jobs,
            lambda: self._services,
            Stored(parts.buckets),
            lambda name: self.dispatcher.known.spent(name),  # noqa: PLW0108  made later
            place=self.trials.decide,
        )
        self.inputs = Inputs(parts.buckets, parts.cloud)
        self.dispatcher = Dispatcher(
            parts.jobs,
            document.services,
            self._routes,
            parts.targets,
            decide=self.quotas.decide,
            snapshot=self.places.snapshot,
            listing=self.inputs.listing,
            clock=clock,
            prepare=self._prepare,
            share=self._owner_of,
            tracing=parts.tracing,
        )
        self.accounts = Accounts(parts.accounts, parts.state, parts.buckets.provider)
        self.tenants = Tenants(parts.buckets, parts.state, self.accounts, parts.access, self.quotas)
        self.calls = CallLog()
        # Set when it is about to end: what would go on for ever ends.
        self.stopping = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="manager-sweep", daemon=True)
        self._lister = listed_source(self)
        self.ready = False

    # --- its life ---------------------------------------------------------------------------

    def start(self) -> None:
        """Make all services runnable, begin to work, and look for events that never came."""
        self._sharing.start()
        self.rollouts.start()
        self.dispatcher.start()
        if (tracing := self.parts.tracing) is not None:
            self.dispatcher.subscribe(partial(tracing.follow, self.parts.jobs))
        self._sweeper.start()
        self._lister.start()
        self.ready = True

    def _settle(self) -> None:
        """Make what keys of the object store reach what it should be."""
        with self._sharing.change():
            try:
                self.tenants.settle(self._services, self._has_open_jobs)
            except BridgeError as error:
                LOG.warning("what keys reach is not settled: %s", error)

    def _has_open_jobs(self, name: str) -> bool:
        return bool(self.parts.jobs.jobs(service=name, states=OPEN_STATES, limit=1))

    def close(self) -> None:
        """Stop to work; jobs that are with a target elsewhere go on."""
        self.stopping.set()
        self._sharing.close()
        self._lister.close()
        self.rollouts.close()
        self.dispatcher.close()
        if self._sweeper.is_alive():
            self._sweeper.join()

    # --- services ---------------------------------------------------------------------------

    def services(self) -> list[Deployed]:
        """All services, by name."""
        self._sharing.refresh()
        return [self._services[name] for name in sorted(self._services)]

    def find(self, name: str) -> Deployed | None:
        """One service, None when there is none."""
        self._sharing.refresh()
        return self._services.get(name)

    def create(self, caller: Caller, source: Source) -> Deployed:
        """Make a service runnable and its inputs heard.

        UsageError (what is wrong with it), ConflictError, PlacementError; other errors of targets
        and stores as they are. Nothing is left of a service that could not be made.
        """
        source = self._for_a_vo(source, caller)
        token = Secret(secrets.token_hex(32))
        made = self._deployed(ServiceRow("", source, token, caller.uid, caller.name, self._clock()))
        with self._sharing.change():
            if made.name in self._services:
                raise UsageError(f"the service {made.name} already exists")
            self._check(made, caller)
            try:
                self.tenants.take(made, caller)
                self._install(made)
                self._put(made)
                self._watch([made])
                give_volume(made, self.parts.targets.values())
            except BaseException:
                self._take_away(made)
                raise
        return made

    def update(self, caller: Caller, seen: Deployed, source: Source) -> Deployed:
        """Change a service; its token, owner and secrets that are left out stay.

        NotFoundError when it is not the one any more that the caller was let change.
        """
        with self._sharing.change():
            old = self._still(seen)
            source = merged(self._for_a_vo(source, caller), old.source)
            made = self._deployed(replace(row_of(old), source=source))
            if made.source["service"].get("volume") != old.source["service"].get("volume"):
                raise UsageError("the volume of a service cannot be changed")
            self._check(made, caller)
            self.tenants.take(made, caller)
            self.tenants.leave(old, made)
            try:
                self._install(made)
            except BaseException:
                self._install(old)
                raise
            self._put(made)
            self._watch([made])
            self._leave(old, made)
        return made

    def rotate(self, seen: Deployed) -> Deployed:
        """Give a service a new token: the old one opens nothing any more, wherever it is known.

        NotFoundError as `update`'s. Targets that do not answer now learn the new one later.
        """
        with self._sharing.change():
            made = replace(self._still(seen), token=Secret(secrets.token_hex(32)))
            self._put(made)
            self._sharing.idle.add(made.name)
        self._sharing.resume()
        return made

    def _still(self, seen: Deployed) -> Deployed:
        one = self._services.get(seen.name)
        if one is None or (one.owner, one.created) != (seen.owner, seen.created):
            raise NotFoundError(f"there is no service {seen.name!r} any more")
        return one

    def delete(self, name: str) -> None:
        """Forget a service: its open jobs fail, its records are put away, its data stays, but for
        a volume that was to end with it."""
        with self._sharing.change():
            one = self._services.get(name)
            if one is None:
                raise NotFoundError(f"there is no service {name!r}")
            self._take_away(one)
            self.tenants.release(one)
            self.parts.jobs.hide(name)
            self._quiet(one, self._inputs(one))
            try:
                end_volume(one, self._services.values(), self.parts.targets.values())
            except BridgeError as error:
                LOG.warning("the volume of service %s stays: %s", name, error)

    def _owner_of(self, name: str) -> str:
        one = self._services.get(name)
        return one.owner if one else ""

    def _is_cloud(self, provider: StorageProvider) -> bool:
        return is_cloud(provider, self.parts.cloud_endpoint)

    def _for_a_vo(self, source: Source, caller: Caller) -> Source:
        oidc = self.settings.oidc
        return with_vo(source, caller, oidc.groups if oidc else ())

    def _deployed(self, row: ServiceRow) -> Deployed:
        return deployed(
            row.source,
            self.specs,
            token=row.token,
            owner=row.owner,
            owner_name=row.owner_name,
            created=row.created,
            shared=self._is_cloud,
        )

    def _check(self, one: Deployed, caller: Caller) -> None:
        """Whether the service may be here at all."""
        allowed = self.allowed_images
        if allowed and not one.service.image.startswith(tuple(allowed)):
            raise UsageError(f"images of {one.service.image} are not allowed on this cluster")
        for path in one.service.inputs:
            check_input(
                path,
                one,
                pulled=self.parts.cloud is not None,
                endpoint=self.parts.cloud_endpoint,
                access=self.parts.access,
                roles=self.places.have_roles(one.service),
            )
        self.quotas.check_service(one)
        self.quotas.check_buckets(one.owner, one.buckets)
        self.tenants.check(one, caller)
        targets = self.parts.targets.values()
        check_volume(one, self._services.values(), targets, self.quotas)
        decision = decide(one.service, None, self.places.snapshot())
        if not decision.target and not decision.waits:
            raise PlacementError(decision.reason)
        # Refuses a service that would start itself, through others or not.
        drawn = replace(one, service=with_outputs_of(one.service, one.users))
        build(self._document({**self._services, one.name: drawn}))

    def _install(self, one: Deployed) -> None:
        """Make the buckets, and the service runnable wherever it may be placed."""
        for ref, provider in one.providers.items():
            self.parts.access[ref] = ProviderAccess(provider.settings, provider.secrets)
        self.parts.tokens[one.name] = one.token
        self._ensure_cloud(one)
        self.tenants.open(one)
        self.places.install(one)

    def _runnable(self, one: Deployed) -> None:
        """What was kept, or came by another manager."""
        self._install(one)
        self._watch([one])

    def _ensure_cloud(self, one: Deployed) -> None:
        # With keys of its own, what a service writes to is not the manager's to make.
        outputs = () if has_keys(one) else one.service.outputs
        for path in (*one.service.inputs, *outputs):
            if path.provider == S3 and self.parts.cloud is not None:
                self.parts.cloud.ensure(path.bucket)

    def _put(self, one: Deployed) -> None:
        """Store it, then let it take jobs."""
        with self._sharing.lock:
            self.parts.state.put_service(row_of(one))
            self._serve({**self._services, one.name: one})
            self._sharing.idle.discard(one.name)

    def _take_away(self, one: Deployed) -> None:
        """Forget it, then let it take no jobs; targets that do not answer are left as they are."""
        with self._sharing.lock:
            self.parts.state.remove_service(one.name)
            self._serve({k: v for k, v in self._services.items() if k != one.name})
        self.dispatcher.drop(one.name)
        self._forget(one)

    def _forget(self, one: Deployed) -> None:
        """Take from targets, and from memory, what they have of a service that is not any more."""
        name = one.name
        self.parts.tokens.pop(name, None)
        for ref in one.providers:
            self.parts.access.pop(ref, None)
        self.tenants.close(one)
        self.places.forget(name)

    def _leave(self, old: Deployed, new: Deployed) -> None:
        """Take a changed service away from where it is no longer placed or fed."""
        self.places.leave(old, new)
        self.tenants.abandon(new)
        self._quiet(old, self._inputs(old) - self._inputs(new))

    def _serve(self, services: Mapping[str, Deployed]) -> None:
        document = self._document(services)
        self._routes = routes_of(document)
        self._services = services
        self.served = document.services
        self.dispatcher.learn(document.services, self._routes)

    def _document(self, services: Mapping[str, Deployed]) -> Document:
        providers: dict[ProviderRef, StorageProvider] = {}
        for one in services.values():
            providers |= one.providers
        made = tuple(one.service for one in services.values())
        return Document("manager", made, providers, targets={s.name: s for s in self.specs})

    # --- events -----------------------------------------------------------------------------

    def ingest(
        self, provider: str, body: bytes, headers: Mapping[str, str] = _NOTHING
    ) -> IngestResult:
        """Accept a store's events; durable on return. TemporaryError when there are too many."""
        self.make_room()
        return self.dispatcher.ingest(provider, body, headers)

    def submit(
        self, one: Deployed, body: bytes, headers: Mapping[str, str], caller: str
    ) -> tuple[str, ...]:
        """Accept a direct call of a service; its jobs, durable on return. Errors as `ingest`'s and
        `named_job`'s."""
        self.make_room()
        job = named_job(headers, one.name, self.parts.jobs)
        found = self.dispatcher.submit_raw(one.name, body, headers=headers, job=job, caller=caller)
        return tuple(accepted.job for accepted in found)

    def taken_by(self, event: Event) -> Collection[str]:
        """The services whose input the event's object is."""
        return self._routes.match(event.provider, event.bucket, event.key)

    def make_room(self) -> None:
        """Before anything is accepted: TemporaryError when too many jobs wait already. What may be
        accepted is known after it, whichever manager was told."""
        if (waiting := self.dispatcher.open_jobs) >= self.settings.backlog:
            raise TemporaryError(f"{waiting} jobs wait; send it again later", delay=5.0)
        self._sharing.refresh()

    def _inputs(self, one: Deployed) -> set[tuple[ProviderRef, str]]:
        return {(path.provider, path.bucket) for path in one.service.inputs}

    def _watch(self, services: Iterable[Deployed]) -> None:
        """Make new objects in the inputs of these services events."""
        places = {place for one in services for place in self._inputs(one)}
        self.inputs.put_rules(places, self._routes.inputs())

    def _quiet(self, one: Deployed, places: set[tuple[ProviderRef, str]]) -> None:
        """Let buckets tell nothing that is of this service only; a store may not answer."""
        try:
            self.inputs.put_rules(places, self._routes.inputs())
        except BridgeError as error:
            LOG.warning("events of service %s may still be sent: %s", one.name, error)

    def reconcile(self) -> tuple[str, ...]:
        """Make jobs for objects that came since their service did, and whose events did not."""
        places = heard(self.dispatcher.inputs())
        return self.dispatcher.reconcile(places=places, since=made_at(self._services.values()))

    def _sweep(self) -> None:
        while True:
            try:
                self._sharing.resume()
                self._settle()
                self.quotas.recount()
                self.inputs.ask_again(self._routes.inputs())
                if found := self.reconcile():
                    LOG.warning("%d events never came; their objects were listed", len(found))
            except BridgeError as error:
                LOG.warning("the inputs cannot be listed: %s", error)
            except Exception:
                LOG.exception("looking for lost events failed")
            most = _SOON if self._sharing.idle else self.settings.reconcile
            if self.stopping.wait(min(self.settings.reconcile, most)):
                return

    # --- placement --------------------------------------------------------------------------

    @property
    def specs(self) -> list[TargetSpec]:
        """The targets that services may be placed on."""
        return self.places.specs

    def _prepare(self, name: str, target: str) -> None:
        self._sharing.prepare(name)
        if why := self.rollouts.absent(target).get(name):
            raise WaitError(f"{name} is not on {target} yet: {why}", delay=_A_WHILE)

    def _is_wanted(self, name: str, target: str) -> bool:
        one = self._services.get(name)
        return one is not None and target in self.places.all(one)

    # --- settings ---------------------------------------------------------------------------

    @property
    def allowed_images(self) -> list[str]:
        """Repositories that images may come from; empty for any."""
        found: list[str] = self.parts.state.setting(_IMAGES, [])
        return found

    def allow_images(self, repositories: Sequence[str]) -> None:
        """Let images come from these repositories only; none of them for any."""
        self.parts.state.put_setting(_IMAGES, list(repositories))
