"""What a cluster has room for: from the objects of its API to the scheduler's `Room`. Pure.

Objects are plain dicts as the API's JSON has them. A job fits when one node has free all that it
asks for (allocatable less the requests of live pods) and no quota or queue forbids it. What is full
now is a wait; only what the cluster will never have is a refusal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from bridge.errors import PermanentError
from bridge.fdl.model import Service
from bridge.fdl.quantities import resource
from bridge.scheduler import Machines, Room
from bridge.targets.kubernetes._names import options_of, service_labels
from bridge.targets.kubernetes._pod import pod_spec
from bridge.targets.kubernetes.settings import ClusterSettings, Growth

__all__ = ["Capacity", "Limit", "Node", "Tally", "nodes_of", "quotas_of", "room"]

Amounts = Mapping[str, Decimal]
"""Cores, bytes or pieces by the name of the resource: `cpu`, `memory`, `pods`, `nvidia.com/gpu`."""

GPU: Final = "nvidia.com/gpu"
_SGX: Final = "sgx.intel.com/enclave"
_NONE: Final = Decimal(0)
_OVER: Final = ("Succeeded", "Failed")
_ARCH: Final = "kubernetes.io/arch"
# Taints that a node gets while it is not well, such as node.kubernetes.io/disk-pressure.
_PASSING: Final = "node.kubernetes.io/"
_JOBS: Final = "jobs"
# A kubelet names no more images unless it is told to, the largest first (nodeStatusMaxImages of
# KubeletConfiguration v1beta1).
_NAMED: Final = 50
_COUNTED: Final = {"count/pods": "pods", "count/jobs.batch": _JOBS}
# Quotas that are for pods of other kinds than our jobs'.
_SCOPES: Final = frozenset({"NotBestEffort", "NotTerminating"})


@dataclass(frozen=True, slots=True)
class Node:
    """A node that takes such jobs. `out` says in a sentence why it takes none now, "" when it does.

    `total` is allocatable, `free` what live pods have left of it. `images` are the bytes of those
    that it has, by name; None where it names none. It may have more than it names when `cut`.
    """

    name: str
    total: Amounts
    free: Amounts
    arch: str = ""
    out: str = ""
    images: Mapping[str, int] | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """What a quota or a queue allows. It binds the services that `label` says are under it.

    `name` begins a sentence. `label` is key and value of a pod's label, ("", "") binds all.
    """

    name: str
    hard: Amounts
    used: Amounts
    label: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Capacity:
    """A cluster at one moment. `nodes` is None when it may not be known.

    `count` is how many nodes the cluster has in all, `pending` how many pods wait for one, `others`
    are nodes that never take such jobs, each with the reason.
    """

    nodes: tuple[Node, ...] | None = None
    others: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    count: int = 0
    pending: int = 0
    growth: Growth | None = None


# --- from the API's objects ---------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """What live pods hold: by node, and by the values of their labels that name queues."""

    queues: tuple[str, ...] = ()
    nodes: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    labelled: dict[tuple[str, str], dict[str, Decimal]] = field(default_factory=dict)
    pending: int = 0

    def add(self, pods: Iterable[Mapping[str, Any]]) -> None:
        """Count some pods; those that are over hold nothing."""
        for pod in pods:
            spec = pod["spec"]
            if pod.get("status", {}).get("phase") in _OVER:
                continue
            held = {"pods": Decimal(1), **effective(spec, "requests")}
            if node := spec.get("nodeName"):
                _raise(self.nodes.setdefault(node, {}), held)
            else:
                self.pending += 1
            labels = pod["metadata"].get("labels") or {}
            for key in self.queues:
                if key in labels:
                    _raise(self.labelled.setdefault((key, labels[key]), {}), held)


def effective(spec: Mapping[str, Any], which: str) -> dict[str, Decimal]:
    """The `requests` or `limits` of a whole pod: its containers together, or its greediest init
    container. An init container that always restarts runs beside the others.
    """
    together: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        asks = amounts((container.get("resources") or {}).get(which))
        if container.get("restartPolicy") == "Always":
            _raise(together, asks)
        else:
            for name, amount in asks.items():
                peak[name] = max(peak.get(name, _NONE), amount + together.get(name, _NONE))
    for container in spec.get("containers") or ():
        _raise(together, amounts((container.get("resources") or {}).get(which)))
    names = {**together, **peak}
    whole = {name: max(together.get(name, _NONE), peak.get(name, _NONE)) for name in names}
    _raise(whole, amounts(spec.get("overhead")))
    return whole


def amounts(texts: Mapping[str, Any] | None) -> dict[str, Decimal]:
    """Quantities as numbers."""
    return {name: resource(str(text)) for name, text in (texts or {}).items()}


def _raise(sums: dict[str, Decimal], more: Amounts) -> None:
    for name, amount in more.items():
        sums[name] = sums.get(name, _NONE) + amount


def nodes_of(
    nodes: Iterable[Mapping[str, Any]],
    held: Mapping[str, Amounts],
    *,
    selector: Mapping[str, str],
    tolerations: Iterable[Mapping[str, Any]],
) -> tuple[tuple[Node, ...], tuple[str, ...]]:
    """The nodes that jobs with this selector and these tolerations may go to, and why not others.

    `held` is what live pods have of each. A node that is cordoned or not ready is among the nodes,
    with its reason: it may come back.
    """
    tolerated = list(tolerations)
    found: list[Node] = []
    others: list[str] = []
    for node in nodes:
        name = node["metadata"]["name"]
        taints = _taints(node, tolerated)
        why = _foreign(node, selector, taints)
        if why:
            others.append(f"{name} {why}")
            continue
        total = amounts(node.get("status", {}).get("allocatable"))
        has = held.get(name, {})
        free = {key: max(_NONE, amount - has.get(key, _NONE)) for key, amount in total.items()}
        arch = (node["metadata"].get("labels") or {}).get(_ARCH, "")
        out, (images, cut) = _absent(node, taints), _images(node)
        found.append(Node(name, total, free, arch, out, images, cut))
    return tuple(found), tuple(others)


def _images(node: Mapping[str, Any]) -> tuple[Mapping[str, int] | None, bool]:
    """The bytes of each image by every name that it has, and whether there may be more."""
    listed = node.get("status", {}).get("images") or ()
    sizes = {name: one.get("sizeBytes") or 0 for one in listed for name in one.get("names") or ()}
    return sizes or None, len(listed) >= _NAMED


def _taints(
    node: Mapping[str, Any], tolerated: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The taints that keep such jobs away."""
    return [
        taint
        for taint in node.get("spec", {}).get("taints") or ()
        if taint["effect"] in ("NoSchedule", "NoExecute")
        and not any(_tolerates(one, taint) for one in tolerated)
    ]


def _foreign(
    node: Mapping[str, Any], selector: Mapping[str, str], taints: Iterable[Mapping[str, Any]]
) -> str:
    """Why the node is not for such jobs at all, "" when it is."""
    labels = node["metadata"].get("labels") or {}
    for key, value in selector.items():
        if labels.get(key) != value:
            return f"has no label {key}={value}"
    for taint in taints:
        if not taint["key"].startswith(_PASSING):
            value = f"={taint['value']}" if taint.get("value") else ""
            return f"has the taint {taint['key']}{value}:{taint['effect']}"
    return ""


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    key, exists = toleration.get("key"), toleration.get("operator") == "Exists"
    if not key:
        return exists
    same = exists or (toleration.get("value") or "") == (taint.get("value") or "")
    return bool(key == taint["key"] and same)


def _absent(node: Mapping[str, Any], taints: Iterable[Mapping[str, Any]]) -> str:
    """Why a node that is for such jobs takes none now."""
    name = node["metadata"]["name"]
    if node.get("spec", {}).get("unschedulable"):
        return f"{name} is cordoned"
    conditions = node.get("status", {}).get("conditions") or ()
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    if not ready:
        return f"{name} is not ready"
    return next((f"{name} has the taint {taint['key']}" for taint in taints), "")


def quotas_of(quotas: Iterable[Mapping[str, Any]]) -> list[Limit]:
    """The ResourceQuotas of a namespace, as far as they bind jobs."""
    found = []
    for quota in quotas:
        spec, status = quota.get("spec", {}), quota.get("status", {})
        if spec.get("scopeSelector") or not _SCOPES.issuperset(spec.get("scopes") or ()):
            continue
        hard, used = status.get("hard") or spec.get("hard"), status.get("used")
        name = f"quota '{quota['metadata']['name']}'"
        found.append(Limit(name, _plain(hard), _plain(used)))
    return found


def _plain(given: Mapping[str, Any] | None) -> Amounts:
    """The amounts of a quota; `requests.cpu` and `cpu` are one."""
    counted = amounts(given).items()
    return {_COUNTED.get(key, key.removeprefix("requests.")): amount for key, amount in counted}


# --- for a service ------------------------------------------------------------------------------


def asked(service: Service) -> tuple[Amounts, Amounts]:
    """What one job of the service asks of a node, and all that limits may count of it.

    PermanentError for what a pod cannot have.
    """
    pod = pod_spec(service, ClusterSettings(), {}, runtime_image="", command=(), variables={})
    wanted = {"pods": Decimal(1), **effective(pod, "requests")}
    most = {f"limits.{name}": amount for name, amount in effective(pod, "limits").items()}
    return wanted, {**wanted, **most, _JOBS: Decimal(1)}


def room(service: Service, capacity: Capacity) -> Room | None:
    """What the cluster offers to the service's next jobs; None when nothing of it is known, as of
    what is behind a virtual node."""
    if options_of(service).interlink_node_name:
        return None
    try:
        wanted, counted = asked(service)
    except PermanentError as error:
        return Room(now=0, ever=0, why=error.message)
    limits = [limit for limit in capacity.limits if _binds(limit, service)]
    if capacity.nodes is None and not limits:
        return None
    now, ever, more = _on_nodes(service, wanted, capacity)
    for limit in limits:
        left = {name: most - limit.used.get(name, _NONE) for name, most in limit.hard.items()}
        whole = _bounded(limit.hard, counted)
        now, ever = min(now, _bounded(left, counted)), min(ever, whole)
        more = min(more, whole - ever)
    return Room(
        now=now,
        ever=ever,
        more=more,
        delay=capacity.growth.delay if capacity.growth else 0.0,
        # Where there is room, pods that wait want something else: they are in nobody's way.
        ahead=0 if now else capacity.pending,
        why="" if now else _why(service, capacity, limits, never=not ever + more),
    )


def machines(capacity: Capacity) -> Machines | None:
    """The nodes that take jobs now, with what is free on them; None when they may not be known."""
    if capacity.nodes is None:
        return None
    nodes = [node for node in capacity.nodes if not node.out]

    def whole(amounts: Iterable[Amounts], name: str) -> Decimal:
        return sum((each.get(name, _NONE) for each in amounts), _NONE)

    total, free = [node.total for node in nodes], [node.free for node in nodes]
    return Machines(
        nodes=len(nodes),
        cpu=float(whole(total, "cpu")),
        memory=int(whole(total, "memory")),
        free_cpu=float(whole(free, "cpu")),
        free_memory=int(whole(free, "memory")),
    )


_UNKNOWN: Final = 1_000_000  # jobs: as good as no bound


def _on_nodes(service: Service, wanted: Amounts, capacity: Capacity) -> tuple[int, int, int]:
    """How many jobs fit on the nodes now, ever, and on nodes that can be added."""
    if capacity.nodes is None:
        return _UNKNOWN, _UNKNOWN, 0
    nodes = _nodes_for(service, capacity.nodes)
    now = sum(_fit(node.free, wanted) for node in nodes if not node.out)
    ever = sum(_fit(node.total, wanted) for node in nodes)
    return now, ever, _grown(wanted, capacity)


def _grown(wanted: Amounts, capacity: Capacity) -> int:
    growth = capacity.growth
    if growth is None or growth.max_nodes <= capacity.count:
        return 0
    each = {
        "cpu": growth.node_cpu,
        "memory": Decimal(growth.node_memory),
        GPU: Decimal(growth.node_gpu),
    }
    some = {name: amount for name, amount in wanted.items() if name in each}
    return (growth.max_nodes - capacity.count) * _fit(each, some)


def _nodes_for(service: Service, nodes: Iterable[Node]) -> list[Node]:
    return [node for node in nodes if node.arch in ("", service.arch)]


def _fit(has: Amounts, wanted: Amounts) -> int:
    """How many jobs fit; what is not named there is not there."""
    return min(max(0, int(has.get(name, _NONE) / each)) for name, each in wanted.items() if each)


def _bounded(allowed: Amounts, each: Amounts) -> int:
    """How many jobs a limit allows; what it does not name it does not bound."""
    counts = [int(most / each[name]) for name, most in allowed.items() if each.get(name)]
    return max(0, min(counts, default=_UNKNOWN))


def _binds(limit: Limit, service: Service) -> bool:
    key, value = limit.label
    if not key:
        return True
    found = service_labels(service).get(key, "")
    # Queues of YuniKorn are in one another, those of Kueue are not.
    return found == value or (key == "queue" and found.startswith(f"{value}."))


# --- in words -----------------------------------------------------------------------------------


def _why(service: Service, capacity: Capacity, limits: list[Limit], *, never: bool) -> str:
    """What is short: now, or (`never`) whatever else ends."""
    wanted, counted = asked(service)
    said: list[str] = []
    if capacity.nodes is not None:
        said += _nodes_short(service, wanted, capacity, never=never)
    for limit in limits:
        said += _limit_short(limit, counted, never=never)
    return "; ".join(said)


def _nodes_short(
    service: Service, wanted: Amounts, capacity: Capacity, *, never: bool
) -> list[str]:
    nodes = _nodes_for(service, capacity.nodes or ())
    if not nodes:
        others = [f"{n.name} is {n.arch}" for n in capacity.nodes or ()]
        listed = ", ".join([*capacity.others, *others]) or "the cluster has none"
        return [f"no node takes it: {listed}"]
    if not never:
        there = [node for node in nodes if not node.out]
        if not there:
            return [f"no node takes jobs now: {', '.join(node.out for node in nodes)}"]
        nodes = there
    has = {node.name: node.total if never else node.free for node in nodes}
    if any(_fit(one, wanted) for one in has.values()):
        return []
    return _amounts_short(has, wanted, "" if never else " free")


def _amounts_short(has: Mapping[str, Amounts], wanted: Amounts, free: str) -> list[str]:
    said = []
    for name, amount in wanted.items():
        best = max(has, key=lambda node: has[node].get(name, _NONE))
        most = has[best].get(name, _NONE)
        if most < amount:
            where = f": the most is {words(name, most)} on {best}" if most else ""
            said.append(f"no node has {words(name, amount)}{free}{where}")
    if said:
        return said
    together = " and ".join(words(name, wanted[name]) for name in ("cpu", "memory"))
    return [f"no node has {together}{free} together"]


def _limit_short(limit: Limit, each: Amounts, *, never: bool) -> list[str]:
    verb = "allows" if never else "leaves"
    said = []
    for name, most in limit.hard.items():
        left = most if never else max(_NONE, most - limit.used.get(name, _NONE))
        if name in each and left < each[name]:
            asks = words(name, each[name])
            said.append(f"{limit.name} {verb} {words(name, left)} (a job asks for {asks})")
    return said


def words(name: str, amount: Decimal) -> str:
    """An amount for a person: `1.5 CPU`, `512 MiB of memory`, `1 GPU`."""
    plain = name.removeprefix("limits.")
    if plain in _SIZES:
        unit, size = ("GiB", 2**30) if amount >= 2**30 else ("MiB", 2**20)
        return f"{_short(amount / size)} {unit} of {_SIZES[plain]}"
    return f"{_short(amount)} {_CALLED.get(plain, plain)}"


_SIZES: Final = {"memory": "memory", "ephemeral-storage": "temporary storage"}
_CALLED: Final = {"cpu": "CPU", GPU: "GPU", "pods": "pods", _SGX: "SGX enclaves"}


def _short(number: Decimal) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
