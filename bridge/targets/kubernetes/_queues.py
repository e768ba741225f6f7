"""The queues of Kueue and YuniKorn as limits on jobs. Pure: objects of the API in, limits out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import yaml

from bridge.fdl.quantities import QuantityError, resource
from bridge.targets.kubernetes._room import Limit

__all__ = ["KUEUE_LABEL", "YUNIKORN_LABEL", "kueue_limits", "yunikorn_limits"]

KUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
YUNIKORN_LABEL: Final = "queue"
_YUNIKORN: Final = {"vcore": "cpu", "memory": "memory", "nvidia.com/gpu": "nvidia.com/gpu"}

Object = Mapping[str, Any]


def kueue_limits(local_queues: Iterable[Object], cluster_queues: Iterable[Object]) -> list[Limit]:
    """What the local queues of a namespace let through, by the cluster queue of each.

    A cluster queue in a cohort may borrow from others, so its own quota bounds nothing.
    """
    by_name = {queue["metadata"]["name"]: queue for queue in cluster_queues}
    found = []
    for local in local_queues:
        queue = by_name.get(local["spec"].get("clusterQueue", ""))
        if queue is None or queue["spec"].get("cohort") or queue["spec"].get("cohortName"):
            continue
        flavors = [f for g in queue["spec"].get("resourceGroups") or () for f in g["flavors"]]
        status = queue.get("status") or {}
        reserved = status.get("flavorsReservation") or status.get("flavorsUsage") or ()
        name = local["metadata"]["name"]
        found.append(
            Limit(
                f"the Kueue queue '{name}'",
                _summed(flavors, "nominalQuota"),
                _summed(reserved, "total"),
                (KUEUE_LABEL, name),
            )
        )
    return found


def _summed(flavors: Iterable[Object], field: str) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for flavor in flavors:
        for one in flavor.get("resources") or ():
            amount = resource(str(one.get(field, 0)))
            sums[one["name"]] = sums.get(one["name"], Decimal(0)) + amount
    return sums


def yunikorn_limits(
    config: str, held: Mapping[tuple[str, str], Mapping[str, Decimal]]
) -> list[Limit]:
    """What the queues of YuniKorn's `queues.yaml` allow at most.

    `held` is what live pods have, by their label. A text that cannot be read bounds nothing.
    """
    try:
        partitions = (yaml.safe_load(config) or {}).get("partitions") or ()
        queues = [one for part in partitions for one in _walk(part.get("queues") or (), "")]
        return [_yunikorn_limit(path, most, held) for path, most in queues]
    except (yaml.YAMLError, QuantityError, AttributeError, TypeError, KeyError):
        return []


def _walk(queues: Iterable[Object], above: str) -> Iterator[tuple[str, Object]]:
    """Path and bound of every queue that has one."""
    for queue in queues:
        path = f"{above}.{queue['name']}" if above else str(queue["name"])
        if most := (queue.get("resources") or {}).get("max"):
            yield path, most
        yield from _walk(queue.get("queues") or (), path)


def _yunikorn_limit(
    path: str, most: Object, held: Mapping[tuple[str, str], Mapping[str, Decimal]]
) -> Limit:
    used: dict[str, Decimal] = {}
    for (key, value), amounts in held.items():
        if key == YUNIKORN_LABEL and (value == path or value.startswith(f"{path}.")):
            for name, amount in amounts.items():
                used[name] = used.get(name, Decimal(0)) + amount
    hard = {
        _YUNIKORN[name]: resource(str(text)) for name, text in most.items() if name in _YUNIKORN
    }
    return Limit(f"the YuniKorn queue '{path}'", hard, used, (YUNIKORN_LABEL, path))
