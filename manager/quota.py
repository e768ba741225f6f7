"""What a user may have, as a value, and as OSCAR's clients say and read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any, Final

from bridge.errors import BridgeError, UsageError
from bridge.fdl import quantities
from bridge.fdl.model import Service
from manager._json import folded

__all__ = ["Load", "Quota", "Used", "from_stored", "read_quota", "shown", "to_store"]


@dataclass(frozen=True, slots=True)
class Quota:
    """What one user may have at most, None for any amount.

    Of what runs at once: `cpu` in cores, `memory` and `ephemeral` (jobs' own disk) in bytes, `gpu`,
    `jobs`. Of what is kept: `buckets`, bytes in each of them (`bucket`) and in all (`stored`);
    `volumes`, their bytes together (`disk`) and of one at most and at least (`largest`,
    `smallest`). Of money: what runs cost in a `day` and in a `month` of UTC, in USD at list prices.
    """

    cpu: Decimal | None = None
    memory: int | None = None
    ephemeral: int | None = None
    gpu: int | None = None
    jobs: int | None = None
    buckets: int | None = None
    bucket: int | None = None
    stored: int | None = None
    volumes: int | None = None
    disk: int | None = None
    largest: int | None = None
    smallest: int | None = None
    day: Decimal | None = None
    month: Decimal | None = None

    @property
    def of_storage(self) -> bool:
        """Whether bytes in buckets must be counted."""
        return self.bucket is not None or self.stored is not None

    @property
    def of_volumes(self) -> bool:
        """Whether there is a limit on volumes."""
        said = (self.volumes, self.disk, self.largest, self.smallest)
        return any(one is not None for one in said)

    @property
    def of_money(self) -> bool:
        """Whether what runs cost must be counted."""
        return self.day is not None or self.month is not None


@dataclass(frozen=True, slots=True)
class Load:
    """What a user's jobs have now; the units are those of `Quota`."""

    jobs: int = 0
    cpu: Decimal = Decimal(0)
    memory: int = 0
    ephemeral: int = 0
    gpu: int = 0

    def plus(self, service: Service, count: int = 1) -> Load:
        """The load with so many more jobs of a service."""
        own = service.resources
        return Load(
            self.jobs + count,
            self.cpu + own.cpu * count,
            self.memory + own.memory * count,
            self.ephemeral + (own.ephemeral_storage or 0) * count,
            self.gpu + own.gpu * count,
        )

    def over(self, quota: Quota) -> str:
        """What of the quota it is more than, in words; "" for nothing."""
        for used, most, what in (
            (self.cpu, quota.cpu, "cores"),
            (self.memory, quota.memory, "bytes of memory"),
            (self.ephemeral, quota.ephemeral, "bytes of ephemeral storage"),
            (self.gpu, quota.gpu, "GPUs"),
            (self.jobs, quota.jobs, "jobs at once"),
        ):
            if most is not None and used > most:
                return f"{most} {what}"
        return ""


@dataclass(frozen=True, slots=True)
class Used:
    """What a user has; the units are those of `Quota`."""

    load: Load = field(default_factory=Load)
    buckets: int = 0
    stored: int = 0
    volumes: int = 0
    disk: int = 0
    day: Decimal = Decimal(0)
    month: Decimal = Decimal(0)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


def _usd(text: str) -> Decimal:
    amount = Decimal(text)
    if not amount.is_finite() or amount < 0:
        raise ValueError(text)
    return amount


_READERS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "cpu": ("cpu", quantities.cpu),
    "memory": ("memory", quantities.memory),
    "ephemeral_storage": ("ephemeral", quantities.memory),
    "gpu": ("gpu", _whole),
    "jobs": ("jobs", _whole),
    "minio.buckets": ("buckets", _whole),
    "minio.storage_per_bucket": ("bucket", quantities.memory),
    "minio.storage_total": ("stored", quantities.memory),
    "volumes.volumes": ("volumes", _whole),
    "volumes.disk": ("disk", quantities.memory),
    "volumes.max_disk_per_volume": ("largest", quantities.memory),
    "volumes.min_disk_per_volume": ("smallest", quantities.memory),
    "money.day": ("day", _usd),
    "money.month": ("month", _usd),
}
_NAMES: Final = ", ".join(_READERS)
_GROUPS: Final = ("minio", "volumes", "money")
_UNITS: Final = ((2**40, "Ti"), (2**30, "Gi"), (2**20, "Mi"), (2**10, "Ki"))
_DECIMALS: Final = ("cpu", "day", "month")


def read_quota(body: Mapping[str, Any], old: Quota) -> Quota:
    """The quota that a client's JSON object makes of the old one; UsageError for what is wrong.

    Numbers may be texts. null takes a limit away; "" says nothing: OSCAR's command sends it for
    what it was not told.
    """
    value = _spelled(body)
    for group in _GROUPS:
        block = value.pop(group, None) or {}
        if not isinstance(block, Mapping):
            raise UsageError(f"{group} must be an object")
        value |= {f"{group}.{name}": said for name, said in _spelled(folded(block)).items()}
    found: dict[str, Any] = {}
    for name, said in value.items():
        if name not in _READERS:
            raise UsageError(f"there is no quota of {name} here", hint=f"there are {_NAMES}")
        one, read = _READERS[name]
        try:
            if said != "":
                found[one] = None if said is None else read(str(said))
        except (BridgeError, ValueError, ArithmeticError):
            raise UsageError(f"{name}: {said!r} is no amount") from None
    return replace(old, **found)


def _spelled(body: Mapping[str, Any]) -> dict[str, Any]:
    """The dashboard writes dashes."""
    return {name.replace("-", "_"): said for name, said in body.items()}


def to_store(quota: Quota) -> dict[str, Any]:
    """The quota as JSON, without what is not limited."""
    said = {one.name: getattr(quota, one.name) for one in fields(quota)}
    kept = {name: value for name, value in said.items() if value is not None}
    return {name: str(v) if name in _DECIMALS else v for name, v in kept.items()}


def from_stored(kept: Mapping[str, Any]) -> Quota:
    """The quota that `to_store` wrote."""
    found: dict[str, Any] = dict(kept)
    found |= {name: Decimal(found[name]) for name in _DECIMALS if name in found}
    return Quota(**found)


def shown(uid: str, quota: Quota, used: Used) -> dict[str, Any]:
    """A user's quota as OSCAR's clients read it.

    `resources` are numbers: cpu in thousandths of a core, sizes in bytes; without `max` for what is
    not limited. `volumes`, `minio` and `money` are there where something of them is limited: sizes
    as text (`2Gi`), money as text in USD. Of MinIO a limit of 0 says that there is none.
    """
    load = used.load
    found: dict[str, Any] = {
        "resources": {
            "cpu": _pair(_thousandths(quota.cpu), int(load.cpu * 1000)),
            "memory": _pair(quota.memory, load.memory),
            "ephemeral-storage": _pair(quota.ephemeral, load.ephemeral),
            "gpu": _pair(quota.gpu, load.gpu),
            "jobs": _pair(quota.jobs, load.jobs),
        }
    }
    if quota.of_volumes:
        found["volumes"] = {
            "disk": _pair(_size(quota.disk), _size(used.disk)),
            "volumes": _pair(_text(quota.volumes), str(used.volumes)),
            **_alone("max_disk_per_volume", _size(quota.largest)),
            **_alone("min_disk_per_volume", _size(quota.smallest)),
        }
    if quota.of_storage or quota.buckets is not None:
        counted = {"used": _size(used.stored)} if quota.of_storage else {}
        found["minio"] = {
            # The dashboard cannot do without these.
            "buckets": {"max": quota.buckets or 0, "used": used.buckets},
            "storage_per_bucket": {"max": _size(quota.bucket) or "0"},
            "storage_total": _alone("max", _size(quota.stored)) | counted,
        }
    if quota.of_money:
        found["money"] = {
            "day": _pair(_text(quota.day), f"{used.day:f}"),
            "month": _pair(_text(quota.month), f"{used.month:f}"),
        }
    return {"user_id": uid} | found


def _pair(most: object, used: object) -> dict[str, Any]:
    return _alone("max", most) | {"used": used}


def _alone(name: str, most: object) -> dict[str, Any]:
    return {} if most is None else {name: most}


def _thousandths(cores: Decimal | None) -> int | None:
    return None if cores is None else int(cores * 1000)


def _text(number: Decimal | int | None) -> str | None:
    if number is None:
        return None
    return f"{number:f}" if isinstance(number, Decimal) else str(number)


def _size(size: int | None) -> str | None:
    """Bytes as Kubernetes writes them."""
    if size is None:
        return None
    for unit, name in _UNITS:
        if size and size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)
