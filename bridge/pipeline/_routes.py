"""Which services an object starts, and which notifications a bucket must send for that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from bridge.fdl.model import Document, ProviderRef, ProviderType, StoragePath
from bridge.pipeline._paths import RESERVED_PREFIX, storage_of
from bridge.pipeline.model import NotificationRule

_Bucket = tuple[str, str]  # storage and bucket


@dataclass(frozen=True, slots=True)
class _Route:
    number: int
    service: str
    prefixes: tuple[str, ...]
    suffixes: tuple[str, ...]

    def takes(self, name: str) -> bool:
        starts = not self.prefixes or name.startswith(self.prefixes)
        return starts and (not self.suffixes or name.endswith(self.suffixes))


class Routes:
    """The inputs of a document, looked up by object. Immutable; safe to share between threads.

    The time of `match` grows with the depth of the key and the inputs on its folders, not with the
    number of services.
    """

    __slots__ = ("_document", "_routes", "_storages")

    def __init__(self, document: Document) -> None:
        self._document = document
        self._storages = {str(r): storage_of(r, document) for r in _providers(document)}
        self._routes: dict[_Bucket, dict[str, list[_Route]]] = defaultdict(dict)
        for number, service in enumerate(document.services):
            for taken in service.inputs:
                route = _Route(number, service.name, taken.prefix, taken.suffix)
                folders = self._routes[self._storage(str(taken.provider)), taken.bucket]
                folders.setdefault(taken.folder, []).append(route)

    def match(self, provider: str, bucket: str, key: str, *, writer: str = "") -> tuple[str, ...]:
        """Names of the services that an object starts, in the document's order.

        `provider` is `<type>.<id>` or a type alone, `key` the object's real name. Folder markers
        (a key that ends in a slash) and keys under RESERVED_PREFIX start nothing. `writer` is the
        service whose job wrote the object, when that is known: it is never started by it.
        """
        folders = self._routes.get((self._storage(provider), bucket))
        if not folders or key.endswith("/") or key.startswith(RESERVED_PREFIX):
            return ()
        found = {
            route.number: route.service
            for folder, name in _splits(key)
            for route in folders.get(folder, ())
            if route.takes(name) and route.service != writer
        }
        return tuple(found[number] for number in sorted(found))

    def inputs(self) -> dict[tuple[str, str], tuple[NotificationRule, ...]]:
        """The notifications that the inputs need, by provider and bucket, sorted by prefix.

        The rules of one bucket never overlap in both prefix and suffix, as AWS demands; where the
        inputs do, one wider rule stands for them. Two providers of one storage are listed as one.
        """
        atoms: dict[_Bucket, list[_Rule]] = defaultdict(list)
        names: dict[str, str] = {}
        for service in self._document.services:
            for taken in service.inputs:
                storage = self._storage(str(taken.provider))
                names.setdefault(storage, str(taken.provider))
                atoms[storage, taken.bucket] += _rules_of(service.name, taken)
        return {
            (names[storage], bucket): self._notifications(names[storage], bucket, rules)
            for (storage, bucket), rules in atoms.items()
        }

    def _notifications(
        self, provider: str, bucket: str, rules: list[_Rule]
    ) -> tuple[NotificationRule, ...]:
        order = {service.name: n for n, service in enumerate(self._document.services)}
        return tuple(
            NotificationRule(
                provider,
                bucket,
                rule.prefix,
                rule.suffix,
                tuple(sorted(rule.services, key=order.__getitem__)),
            )
            for rule in _merged(rules)
        )

    def _storage(self, provider: str) -> str:
        known = self._storages.get(provider)
        if known is not None:
            return known
        kind, _, name = provider.partition(".")
        return storage_of(ProviderRef(cast(ProviderType, kind), name or "default"), self._document)


def _providers(document: Document) -> set[ProviderRef]:
    taken = {path.provider for service in document.services for path in service.inputs}
    return taken.union(document.providers)


def routes(document: Document) -> Routes:
    """The routes of a document. Not checked for cycles: `build` does that."""
    return Routes(document)


def _splits(key: str) -> Iterable[tuple[str, str]]:
    """Each folder that holds the key, from the root on, with the name relative to it."""
    yield "", key
    at = key.find("/", 1)
    while at > 0:
        yield key[:at], key[at + 1 :]
        at = key.find("/", at + 1)


@dataclass(frozen=True, slots=True)
class _Rule:
    prefix: str
    suffix: str
    services: frozenset[str]

    def overlaps(self, other: _Rule) -> bool:
        starts = self.prefix.startswith(other.prefix) or other.prefix.startswith(self.prefix)
        ends = self.suffix.endswith(other.suffix) or other.suffix.endswith(self.suffix)
        return starts and ends

    def joined(self, other: _Rule) -> _Rule:
        """The narrowest single rule for the keys of two that overlap."""
        prefix = min(self.prefix, other.prefix, key=len)
        suffix = min(self.suffix, other.suffix, key=len)
        return _Rule(prefix, suffix, self.services | other.services)


def _rules_of(service: str, taken: StoragePath) -> list[_Rule]:
    only = frozenset({service})
    prefixes, suffixes = taken.prefix or ("",), taken.suffix or ("",)
    return [_Rule(taken.key_for(p), s, only) for p in prefixes for s in suffixes]


def _merged(rules: list[_Rule]) -> list[_Rule]:
    """Rules that do not overlap and let through every key of the given ones, sorted."""
    merged: list[_Rule] = []
    family: list[_Rule] = []
    root = ""
    for rule in sorted(_grouped(rules), key=_order):
        # In this order all that starts with a prefix follows it, so others cannot overlap any more.
        if not family or not rule.prefix.startswith(root):
            merged += family
            family, root = [], rule.prefix
        family = _with(family, rule)
    return sorted(merged + family, key=_order)


def _with(family: list[_Rule], rule: _Rule) -> list[_Rule]:
    while near := [other for other in family if other.overlaps(rule)]:
        family = [other for other in family if other not in near]
        for other in near:
            rule = rule.joined(other)
    return [*family, rule]


def _order(rule: _Rule) -> tuple[str, str]:
    return rule.prefix, rule.suffix


def _grouped(rules: list[_Rule]) -> list[_Rule]:
    """One rule for all that ask for the same keys."""
    services: dict[tuple[str, str], set[str]] = defaultdict(set)
    for rule in rules:
        services[rule.prefix, rule.suffix] |= rule.services
    return [_Rule(p, s, frozenset(names)) for (p, s), names in services.items()]
