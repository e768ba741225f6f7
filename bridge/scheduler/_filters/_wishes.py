"""Filters on what the file wants: where a service may go at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.errors import PlacementError
from bridge.fdl.model import Service, TargetSpec
from bridge.fdl.options import OscarOptions
from bridge.scheduler import _words as words
from bridge.scheduler._kinds import (
    AWS,
    NAMES,
    arch_of,
    batch_platform,
    first_choice,
    is_first_choice,
    region_of,
)


def pin(service: Service, spec: TargetSpec) -> str:
    """The file's position, `placement.targets` and `placement.fallback` name who may run it."""
    if is_first_choice(service, spec) or spec.name in service.placement.fallback:
        return ""
    only = words.listed(dict.fromkeys((*first_choice(service), *service.placement.fallback)))
    if service.placement.targets or service.placement.fallback:
        return f"the placement of {service.name} allows only {only}"
    return f"the FDL file pins {service.name} to {only}"


def mode(service: Service, spec: TargetSpec) -> str:
    """`execution_mode` chooses between Lambda and Batch."""
    wanted = service.execution_mode
    if spec.kind not in AWS or wanted in (None, "lambda-batch", spec.kind):
        return ""
    return f"execution_mode is {wanted}; {spec.name} is {NAMES[spec.kind]}"


def require(service: Service, spec: TargetSpec) -> str:
    """`placement.require`: every key must hold. PlacementError for a key that we do not know."""
    if not service.placement.require:
        return ""
    broken = [
        sentence
        for key, wanted in service.placement.require.items()
        if (sentence := _requirement(service, spec, key, wanted))
    ]
    return "; ".join(broken)


def _requirement(service: Service, spec: TargetSpec, key: str, wanted: Any) -> str:
    if key == "isolated":  # not the target's own: see the filter of that name
        return ""
    if key == "gpu":
        has = spec.gpu or (ec2(service, spec) and service.resources.gpu)
        return "" if has >= int(wanted) else f"the placement requires a GPU; {spec.name} has none"
    if key not in _TRAITS:
        raise PlacementError(
            f"placement.require.{key} of {service.name} is not a known requirement",
            hint="known are arch, gpu, isolated, kind and region",
        )
    found = _TRAITS[key](service, spec)
    if found == wanted:
        return ""
    has_what = f"is in {found}" if key == "region" else f"is {found}"
    return (
        f"the placement requires {key} {wanted}; "
        f"{spec.name} {has_what if found else f'names no {key}'}"
    )


_TRAITS: Final[Mapping[str, Callable[[Service, TargetSpec], str]]] = {
    "arch": arch_of,
    "kind": lambda _, spec: spec.kind,
    "region": lambda _, spec: region_of(spec),
}


def avoid(service: Service, spec: TargetSpec) -> str:
    """`placement.avoid`: none of it may hold. PlacementError for a key that we do not know."""
    for key, unwanted in service.placement.avoid.items():
        if key not in _KEPT_OFF:
            raise PlacementError(
                f"placement.avoid.{key} of {service.name} is not known",
                hint="known are kind, region and target",
            )
        if (found := _KEPT_OFF[key](spec)) in unwanted:
            what = "in " + found if key == "region" else found
            return f"the placement avoids {key} {found}; {spec.name} is {what}"
    return ""


_KEPT_OFF: Final[Mapping[str, Callable[[TargetSpec], str]]] = {
    "kind": lambda spec: spec.kind,
    "region": region_of,
    "target": lambda spec: spec.name,
}


def residency(service: Service, spec: TargetSpec) -> str:
    """`placement.residency`: data may only be in these regions; `eu` stands for `eu-…`."""
    allowed, found = service.placement.residency, region_of(spec)
    if not allowed or any(found == one or found.startswith(f"{one}-") for one in allowed):
        return ""
    where = f"is in {found}" if found else "names no region"
    return f"the data of {service.name} must stay in {words.listed(allowed)}; {spec.name} {where}"


def vo(service: Service, spec: TargetSpec) -> str:
    """The virtual organisations that a target runs services of."""
    options = service.options
    asked = options.vo if isinstance(options, OscarOptions) else ()
    if not asked or not spec.vos or set(asked) & set(spec.vos):
        return ""
    only = words.listed(spec.vos)
    return f"{service.name} is of {words.listed(asked)}; {spec.name} runs only services of {only}"


def ec2(service: Service, spec: TargetSpec) -> bool:
    """Whether jobs of the service run on machines of Batch that are made for them."""
    return spec.kind == "batch" and batch_platform(service) == "EC2"
