"""Jobs on a real cluster against `kubectl create` of the same Job, in the same run.

Needs KUBECONFIG, kubectl on PATH, and the images of tools/base-images.sh on the cluster's node.

    python benchmarks/cluster.py [submits] [jobs]

Not called kubernetes.py: beside it, `import kubernetes` would find this file.
"""

from __future__ import annotations

import gc
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from _measure import Measure, report, skipped

from bridge.dispatch import Dispatcher, SqliteStore
from bridge.errors import BridgeError
from bridge.events import decode, job_id
from bridge.fdl.model import Document, Placement, Resources, Service, TargetSpec
from bridge.images import make_runtime_image
from bridge.pipeline import Routes
from bridge.scheduler import decide, snapshot_of
from bridge.targets import Job
from bridge.targets.kubernetes import ClusterSettings, Connection, KubernetesTarget
from bridge.targets.kubernetes._manifests import job_manifest
from bridge.targets.kubernetes._tracker import Tracker
from bridge.targets.kubernetes._transport import Transport
from bridge.targets.kubernetes._watch import PodWatch
from bridge.targets.kubernetes.resources import NAMESPACES
from bridge.targets.news import News

LANES = 8
LATENCIES = 5
WATCHED = 10_000
SERVICE = Service(
    "bench",
    "bridge",
    "oscar-bridge/busybox:local",
    Resources(Decimal("0.05"), 32 * 2**20),
    script_text="true\n",
    timeout=60.0,
    placement=Placement(targets=("cluster",)),
)
SPEC = TargetSpec("cluster", "kubernetes", implied=False)
DOCUMENT = Document("bench.yaml", (SERVICE,), targets={SPEC.name: SPEC})


@contextmanager
def target(runtime_image: str) -> Iterator[KubernetesTarget]:
    """The service deployed in a namespace of its own, which goes at the end."""
    namespace = f"bench-{secrets.token_hex(4)}"
    connection = Connection(ClusterSettings(namespace=namespace, runtime_image=runtime_image))
    connection.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    made = KubernetesTarget(SPEC, connection, {})
    try:
        made.deploy([SERVICE])
        yield made
    finally:
        made.close()
        connection.delete(NAMESPACES, namespace)


def job() -> Job:
    """A new job with an event of its own."""
    (event,) = decode(b"data", nonce=secrets.token_hex(8))
    return Job(job_id(SERVICE.name, event), SERVICE.name, event)


def manifest(of: KubernetesTarget, one: Job) -> dict[str, Any]:
    """The very Job that a submit creates."""
    return job_manifest(
        SERVICE,
        one,
        {},
        of.connection.settings,
        namespace=of.connection.namespace,
        runtime_image=of.runtime_image,
    )


def kubectl(*manifests: Mapping[str, Any]) -> None:
    """One process that creates them all."""
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    command = ["kubectl", "create", "--validate=false", "-f", "-"]
    subprocess.run(command, input=body, text=True, check=True, capture_output=True)


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def submits(runtime_image: str, count: int) -> None:
    """Jobs created per second. A quota keeps their pods away: this is about the API."""
    with target(runtime_image) as here:
        facts = {"name": "none", "namespace": here.connection.namespace}
        spec = {"hard": {"pods": "0"}}
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": facts, "spec": spec}
        here.connection.create(quota)
        here.submit(job())
        few = max(1, count // 10)

        def side_by_side(work: Callable[[Job], object]) -> float:
            jobs = [job() for _ in range(count)]
            with ThreadPoolExecutor(LANES) as pool:
                return timed(lambda: list(pool.map(work, jobs))) / count

        every = "kubectl create, a process for each"
        singles = [timed(lambda: kubectl(manifest(here, job()))) for _ in range(few)]
        together = [manifest(here, job()) for _ in range(count)]
        found = {
            every: (statistics.fmean(singles), few),
            "kubectl create, one process for all": (
                timed(lambda: kubectl(*together)) / count,
                count,
            ),
            "bare POST of the manifest": (
                timed(lambda: [here.connection.create(manifest(here, job())) for _ in range(count)])
                / count,
                count,
            ),
            "submit": (timed(lambda: [here.submit(job()) for _ in range(count)]) / count, count),
            f"submit, {LANES} at once": (side_by_side(here.submit), count),
        }
    rows = [
        Measure(name, seconds, runs=runs, note=f"{1 / seconds:,.0f} jobs/s")
        for name, (seconds, runs) in found.items()
    ]
    report("Jobs created: seconds per job", rows, every)


class Started:
    """Notes when the main container of each Job was first seen to run or to have ended."""

    def __init__(self, of: KubernetesTarget) -> None:
        self.seen: dict[str, float] = {}
        self._changed = threading.Condition()
        self.watch = PodWatch(
            of.connection, f"oscar_service={SERVICE.name}", self._look, lambda _: None
        )

    def _look(self, pod: Mapping[str, Any], _: bool) -> None:
        for status in pod["status"].get("containerStatuses") or ():
            if status["state"].keys() & {"running", "terminated"}:
                with self._changed:
                    self.seen.setdefault(pod["metadata"]["labels"]["job-name"], time.perf_counter())
                    self._changed.notify_all()

    def after(self, name: Callable[[], str]) -> float:
        """Seconds from the call of `name`, which starts a Job and gives its name, until it runs."""
        start = time.perf_counter()
        wanted = name()
        with self._changed:
            if not self._changed.wait_for(lambda: wanted in self.seen, 120):
                raise RuntimeError(f"{wanted} has not started")
        return self.seen[wanted] - start


@contextmanager
def dispatching(of: KubernetesTarget) -> Iterator[Dispatcher]:
    """The durable queue in front of the target, with the real scheduler."""
    snapshot = snapshot_of(DOCUMENT)
    with (
        tempfile.TemporaryDirectory(prefix="bench-kubernetes-", dir=Path.cwd()) as folder,
        SqliteStore(Path(folder) / "jobs.db") as store,
        Dispatcher(
            store,
            DOCUMENT.services,
            Routes(DOCUMENT),
            {SPEC.name: of},
            decide=decide,
            snapshot=lambda: snapshot,
        ) as made,
    ):
        yield made


def latency(runtime_image: str) -> None:
    """From an event to the running container, on a cluster that has nothing else of ours to do."""
    with target(runtime_image) as here, dispatching(here) as queue:
        started = Started(here)

        def by_kubectl(plain: bool) -> str:
            made = manifest(here, job())
            if plain:
                pod = made["spec"]["template"]["spec"]
                pod.pop("initContainers")
                pod["containers"][0]["command"] = ["true"]
            kubectl(made)
            return str(made["metadata"]["name"])

        ways: dict[str, Callable[[], str]] = {
            "kubectl create of the same Job": lambda: by_kubectl(False),
            "kubectl create without the runtime": lambda: by_kubectl(True),
            "event to running": lambda: queue.submit_raw(SERVICE.name, b"data")[0].job,
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(LATENCIES):
            for name, way in ways.items():
                took[name].append(started.after(way))
        started.watch.close()
    rows = [Measure(name, statistics.median(all_), runs=len(all_)) for name, all_ in took.items()]
    report("From an event to the running container", rows, rows[0].name)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Counts the calls to the API server, by verb and resource."""
    calls: Counter[str] = Counter()
    ask, stream = Transport.ask, Transport.open

    def counting(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Transport, what: Any, *more: Any, **named: Any) -> Any:
            calls[f"{what.verb} {what.resource}"] += 1
            return original(self, what, *more, **named)

        return call

    Transport.ask, Transport.open = counting(ask), counting(stream)  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        Transport.ask, Transport.open = ask, stream  # type: ignore[method-assign]


def calls_per_job(runtime_image: str, count: int) -> None:
    """What the API server is asked from the first event to the end of all jobs."""
    with target(runtime_image) as here, dispatching(here) as queue, counted() as calls:
        took = timed(lambda: _through(queue, count))
    total = sum(calls.values())
    print(f"\nCalls to the API server for {count} jobs from event to end, {took:.1f} s")
    for name, number in calls.most_common():
        print(f"  {name:<24}  {number:>5}  {number / count:.2f} a job")
    shared = sum(number for name, number in calls.items() if name in ("watch pods", "list pods"))
    own = total - shared
    print(f"  {'all but the one watch':<24}  {own:>5}  {own / count:.2f} a job")


def _through(queue: Dispatcher, count: int) -> None:
    for _ in range(count):
        queue.submit_raw(SERVICE.name, b"data")
    if not queue.wait_quiet(600):
        raise RuntimeError("the jobs are not over")


def pod(one: Job, number: int) -> str:
    """What the watch sends of a running pod; as long as a real one."""
    made = job_manifest(
        SERVICE, one, {}, ClusterSettings(), namespace="bench", runtime_image="runtime:1"
    )
    template = made["spec"]["template"]
    name = made["metadata"]["name"]
    facts = {
        **template["metadata"],
        "labels": {**template["metadata"]["labels"], "job-name": name},
        "name": f"{name}-abcde",
        "namespace": "bench",
        "uid": f"{number:032x}",
        "resourceVersion": str(number),
    }
    running = {
        "name": "oscar-container",
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }
    status = {"phase": "Running", "containerStatuses": [running], "podIP": "10.0.0.1"}
    return json.dumps({"metadata": facts, "spec": template["spec"], "status": status})


def memory() -> None:
    """What following many running jobs takes, against keeping their pods as informers do."""
    jobs = [job() for _ in range(WATCHED)]
    lines = [pod(one, number) for number, one in enumerate(jobs)]

    def kept() -> object:
        return [json.loads(line) for line in lines]

    def followed() -> object:
        tracker = Tracker(News(), 900.0)
        for one, line in zip(jobs, lines, strict=True):
            tracker.begin(one)
            tracker.changed(json.loads(line), False)
        return tracker

    sizes = {"the pods, as decoded": _held(kept), "the target's tracker": _held(followed)}
    base = next(iter(sizes.values()))
    print(f"\nMemory for {WATCHED:,} running jobs")
    for name, size in sizes.items():
        print(f"  {name:<24}  {size / 2**20:>7.1f} MiB  {size / base:.3f}x")


def _held(make: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    made = make()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del made
    return size


def main() -> None:
    """All of it, as far as there is a cluster."""
    count, runs = (int(one) for one in (*sys.argv[1:3], *("200", "20")[len(sys.argv[1:3]) :]))
    print("load of this machine: " + ", ".join(f"{one:.1f}" for one in os.getloadavg()))
    memory()
    if not os.environ.get("KUBECONFIG"):
        return skipped("jobs on a cluster", "KUBECONFIG is not set")
    if shutil.which("kubectl") is None:
        return skipped("jobs on a cluster", "kubectl is not on PATH")
    try:
        image = str(make_runtime_image().target)
        submits(image, count)
        latency(image)
        calls_per_job(image, runs)
    except BridgeError as error:
        skipped("jobs on a cluster", error.message)
    print("load of this machine: " + ", ".join(f"{one:.1f}" for one in os.getloadavg()))
    return None


if __name__ == "__main__":
    main()
