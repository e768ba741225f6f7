"""One pipeline on one machine: servers started, services deployed, inputs fed, results fetched.

    session = Session(document, engine="auto", watch=watch)
    inputs = session.plan([Path("photo.jpg")])
    with session:
        session.feed(inputs)
        session.wait(timeout=60)
        session.fetch(Path("results"))

Leaving the block stops every process and container and removes every temporary file, whatever
happened inside it; when this process is killed, its guard does that.
"""

from __future__ import annotations

import secrets
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from bridge.dispatch import Dispatcher, JobEvent, JobRecord, Settings, SqliteStore
from bridge.errors import PlacementError, UsageError
from bridge.fdl.model import Document, Service
from bridge.local._clusters import Clusters, real_clusters
from bridge.local._engine import resolved
from bridge.local._here import localised, snapshot, used_targets
from bridge.local._inputs import Awaited, Handover, plan_handovers
from bridge.local._results import Result, Results
from bridge.local._signals import held_back, undisturbed
from bridge.local._together import Together
from bridge.local.children import SessionFolder
from bridge.local.executors.guard import Guard
from bridge.local.places import AWS, Places
from bridge.local.target import LocalTarget
from bridge.pipeline import routes
from bridge.scheduler import Decision, Snapshot, decide

__all__ = ["Handover", "Result", "Session", "Watch"]

_ALL: Final = 1_000_000
_GRACE: Final = 3.0
_SLICE: Final = 0.2
_TICK: Final = 0.02
_UPLOADS: Final = 4


class Watch(Protocol):
    """Is told what a session does. Called from several threads; must return at once."""

    def phase(self, text: str) -> None:
        """A new step has begun."""
        ...

    def note(self, text: str) -> None:
        """Something that the user should know, in a sentence."""
        ...

    def fed(self, size: int) -> None:
        """A file of so many bytes was handed in."""
        ...

    def fetched(self, size: int) -> None:
        """A file of so many bytes was fetched."""
        ...

    def job(self, event: JobEvent) -> None:
        """A job has changed its state."""
        ...


class Session:
    """Runs one document on this machine. `engine` is auto, container or process.

    Targets whose settings name a cluster are that cluster; with `cluster` every target that stands
    for one is, by default the one of KUBECONFIG. Jobs run in containers then.
    `began` is when it was made, in seconds since the epoch; `decisions` are by service.
    Nothing is started before the `with` block. Errors then: PlacementError (a service that no
    target can run), MissingToolError, PermanentError (an image that is not here), UsageError (a
    storage provider that has no stand-in here), AccessError and TargetUnavailable (a cluster).
    """

    def __init__(
        self, document: Document, *, engine: str = "auto", cluster: bool = False, watch: Watch
    ) -> None:
        self.document = document = localised(document)
        self.engine = engine
        self.decisions: dict[str, Decision] = {}
        self.began = time.time()
        self._name = secrets.token_hex(6)
        found = real_clusters(document.targets.values(), everything=cluster)
        self._clusters = Clusters(found, self._name)
        self._watch = watch
        self._services = {service.name: service for service in document.services}
        self._routes = routes(document)
        self._stack = ExitStack()
        self._together = Together()
        self._awaited: set[Awaited] = set()
        self._names: dict[str, str] = {}
        self._seen = ""
        self._problems: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    # --- what there is to know ----------------------------------------------------------------

    def jobs(self) -> list[JobRecord]:
        """All jobs so far, in the order in which they were accepted."""
        return self._store.jobs(limit=_ALL)

    def decision(self, job: JobRecord) -> Mapping[str, Any]:
        """The job's last placement as `bridge.scheduler.as_json` wrote it; empty before it."""
        detail = self._store.detail(job.id)
        return detail.decisions[-1] if detail is not None and detail.decisions else {}

    def logs(self, job: JobRecord) -> list[str]:
        """Lines of a job's log; empty when its target has none."""
        target = self._targets.get(job.target)
        return list(target.logs(job.id)) if target else []

    def input_name(self, job: JobRecord) -> str:
        """`<bucket>/<key>` of the job's object; for a request, the name of the file."""
        event = job.event
        if event.bucket:
            return f"{event.bucket}/{event.key}"
        return self._names.get(job.id, event.name or "request")

    def problems(self) -> list[str]:
        """What went wrong beside the jobs, in sentences: refused events, lost results."""
        refused = [f"an event was refused: {each.reason}" for each in self._store.refusals()]
        return self._problems + refused

    # --- start and stop -----------------------------------------------------------------------

    def _start(self) -> None:
        self._watch.phase("placing services")
        self.engine = self._resolved()
        folder = self._folder(self._name)
        self.decisions = self._decide(folder)
        used = used_targets(self.decisions.values())
        # Closed before the folder goes; what it still started by then is closed before it, too.
        self._stack.callback(self._together.close)
        self._store = self._stack.enter_context(SqliteStore(folder / "jobs.sqlite"))
        if self.engine == "container":
            self._watch.phase("preparing the runtime for containers")
        for told in self._clusters.start(self._stack):
            self._watch.note(told)
        self._watch.phase("starting servers")
        self._places = Places(
            self.document,
            used,
            engine=self.engine,
            session=self._name,
            folder=folder,
            stack=self._stack,
            together=self._together,
            accept=self._accept,
            clusters=self._clusters,
        )
        self._places.start()
        self._targets = self._places.targets()
        self._dispatcher = self._dispatch()
        count = len(self._services)
        self._watch.phase(f"deploying {count} service{'s' if count > 1 else ''}")
        self._deploy()

    def _folder(self, name: str) -> Path:
        """The session's folder, and a guard over it and all processes of the session."""
        with held_back():
            folder = SessionFolder()
            guard = Guard(
                name,
                folder.path,
                containers=self.engine == "container",
                namespaces=self._clusters.namespaces(),
            )
            self._stack.callback(guard.close)
            return self._stack.enter_context(folder).path

    def _stop(self) -> None:
        """Whatever else is asked meanwhile, everything is stopped first."""
        try:
            with undisturbed():
                self._watch.phase("stopping")
                self._stack.close()
        finally:
            # For a signal just before the block; nothing is stopped twice.
            self._stack.close()

    def _resolved(self) -> str:
        """The engine; pods cannot reach what listens on loopback, as it does for processes."""
        services = self.document.services
        if not self._clusters:
            return resolved(self.engine, services, self._watch.note)
        if self.engine == "process":
            raise UsageError(
                "jobs on a cluster and plain processes do not go together",
                hint="leave --engine out, or take --engine container",
            )
        return resolved("container", services, self._watch.note)

    def _decide(self, folder: Path) -> dict[str, Decision]:
        # First without the room on clusters: only those that come into question are asked.
        self._clusters.look(used_targets(self._placed().values()), folder)
        decisions = self._placed()
        for decision in decisions.values():
            if not decision.target:
                raise PlacementError(f"{decision.service}: {decision.reason}")
        return decisions

    def _placed(self) -> dict[str, Decision]:
        here = snapshot(self.document, self.engine, self._clusters)
        return {name: decide(s, None, here) for name, s in self._services.items()}

    def _dispatch(self) -> Dispatcher:
        dispatcher = Dispatcher(
            self._store,
            self.document.services,
            self._routes,
            self._targets,
            decide=decide,
            snapshot=self._snapshot,
            settings=Settings(grace=_GRACE),
            listing=self._places.listing,
        )
        dispatcher.subscribe(self._watch.job)
        with held_back():
            self._stack.callback(dispatcher.close)
            dispatcher.start()
        return dispatcher

    def _snapshot(self) -> Snapshot:
        ask = self._dispatcher
        loads = {name: (ask.running(name), ask.queued(name)) for name in self._targets}
        images = {
            name: target.images()
            for name, target in self._targets.items()
            if isinstance(target, LocalTarget)
        }
        return snapshot(self.document, self.engine, self._clusters, loads, images)

    def _accept(self, provider: str, body: bytes, headers: Mapping[str, str]) -> None:
        self._dispatcher.ingest(provider, body, headers)

    def _deploy(self) -> None:
        paths = [p for s in self._services.values() for p in (*s.inputs, *s.outputs)]
        self._places.ensure_buckets((p.provider, p.bucket) for p in paths)
        by_target: dict[str, list[Service]] = {}
        for name, decision in self.decisions.items():
            for target in used_targets([decision]):
                by_target.setdefault(target, []).append(self._services[name])
        # Targets of one account share queues and environments, which both would make at once.
        apart = [[name] for name in by_target if self._kind(name) not in AWS]
        shared = [name for name in by_target if self._kind(name) in AWS]

        def deploy(names: list[str]) -> None:
            for name in names:
                self._targets[name].deploy(by_target[name])

        self._together.run([partial(deploy, names) for names in (*apart, shared)], len(by_target))
        self._places.watch([r for rules in self._routes.inputs().values() for r in rules])

    def _kind(self, target: str) -> str:
        return self.document.targets[target].kind

    # --- inputs -------------------------------------------------------------------------------

    def plan(self, inputs: Sequence[Path]) -> list[Handover]:
        """What `feed` is to hand in of files and folders; see `plan_handovers` for its errors."""
        return plan_handovers(self.document, self._routes, inputs)

    def feed(self, handovers: Sequence[Handover]) -> None:
        """Hand the files in: all are in their buckets, or are jobs, when this returns."""
        count = len(handovers)
        self._watch.phase(f"feeding {count} input{'s' if count > 1 else ''}")
        self._awaited.update(job for each in handovers for job in each.awaited())
        self._together.run([partial(self._feed, each) for each in handovers], _UPLOADS)

    def _feed(self, given: Handover) -> None:
        if given.place is None:
            # In base64 the script gets these very bytes, whatever they look like.
            body = b64encode(given.path.read_bytes())
            made = self._dispatcher.submit_raw(given.services[0], body)
            self._names.update({job.job: given.name for job in made})
        else:
            store = self._places.open(given.place.provider)
            store.put(given.place.bucket, given.key, given.path)
        self._watch.fed(given.size)

    # --- waiting ------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every job, and every job that those start, is over; False at the time limit.

        An input whose event has not come a few seconds after the last one did is looked for in
        the bucket itself.
        """
        self._watch.phase("running")
        end = None if timeout is None else time.monotonic() + timeout
        last = time.monotonic()
        while end is None or time.monotonic() < end:
            before = len(self._awaited)
            self._strike_off()
            if len(self._awaited) < before:
                last = time.monotonic()
            elif self._awaited and time.monotonic() - last > _GRACE:
                self._dispatcher.reconcile()
                last = time.monotonic()
            if not self._awaited and self._dispatcher.wait_quiet(_SLICE):
                return True
            if self._awaited:
                time.sleep(_TICK)
        return False

    def _strike_off(self) -> None:
        """Do not await inputs that have become jobs."""
        if not self._awaited:
            return
        for job in self._store.jobs(after=self._seen, limit=_ALL):
            event = job.event
            self._awaited.discard(Awaited(job.service, event.provider, event.bucket, event.key))
            self._seen = job.id

    # --- results ------------------------------------------------------------------------------

    def fetch(self, folder: Path) -> list[Result]:
        """Download what no service takes further into `<folder>/<service>/`, and replies as files.

        The reply of a service without outputs, that is its script's text, becomes `<input>.txt`.
        What cannot be fetched is among the `problems`.
        """
        self._watch.phase("fetching results")
        results = Results(
            self._services,
            self._routes,
            open_store=self._places.open,
            logs=self.logs,
            names=self._names,
            fetched=self._watch.fetched,
            together=self._together,
        )
        found = results.fetch(self.jobs(), folder)
        self._problems += results.problems
        return found
