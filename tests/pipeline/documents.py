"""Small documents, built without a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

from bridge.fdl.model import (
    Document,
    Place,
    ProviderRef,
    ProviderType,
    Resources,
    Service,
    StoragePath,
    StorageProvider,
)

RESOURCES = Resources(cpu=Decimal(1), memory=1 << 30)


def path(text: str, prefix: Iterable[str] = (), suffix: Iterable[str] = ()) -> StoragePath:
    """`minio.default:bucket/folder`; the provider may be left out."""
    provider, colon, where = text.rpartition(":")
    kind, _, name = (provider if colon else "minio").partition(".")
    ref = ProviderRef(cast(ProviderType, kind), name or "default")
    return StoragePath(ref, where, tuple(prefix), tuple(suffix))


def service(
    name: str,
    inputs: str | StoragePath | Iterable[str | StoragePath] = (),
    outputs: str | StoragePath | Iterable[str | StoragePath] = (),
    pin: str = "",
) -> Service:
    """A service that reads and writes these paths."""
    return Service(
        name=name,
        origin="bridge",
        image="image",
        resources=RESOURCES,
        pin=pin,
        inputs=_paths(inputs),
        outputs=_paths(outputs),
    )


def document(
    *services: Service, providers: Mapping[str, Mapping[str, Any]] | None = None
) -> Document:
    """A document of these services; every path gets a place of its own.

    The line of a service is its number times ten; inputs follow on the next lines, then outputs.
    """
    return Document(
        file="pipeline.yaml",
        services=tuple(_placed(n, s) for n, s in enumerate(services, start=1)),
        providers={
            path(f"{name}:x").provider: StorageProvider(path(f"{name}:x").provider, settings)
            for name, settings in (providers or {}).items()
        },
    )


def _paths(given: str | StoragePath | Iterable[str | StoragePath]) -> tuple[StoragePath, ...]:
    many = [given] if isinstance(given, str | StoragePath) else given
    return tuple(path(one) if isinstance(one, str) else one for one in many)


def _placed(number: int, given: Service) -> Service:
    where = f"functions.bridge[{number - 1}]"
    line = number * 10
    inputs = [
        replace(p, place=Place(line + 1 + i, 9, f"{where}.input[{i}]"))
        for i, p in enumerate(given.inputs)
    ]
    outputs = [
        replace(p, place=Place(line + 1 + len(inputs) + i, 9, f"{where}.output[{i}]"))
        for i, p in enumerate(given.outputs)
    ]
    place = Place(line, 5, where)
    return replace(given, inputs=tuple(inputs), outputs=tuple(outputs), place=place)
