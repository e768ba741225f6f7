"""Services of OSCAR clusters: the steps that a file needs there, and those steps done.

A service belongs to the deployment that its annotation names. No cluster tells secrets, so another
annotation holds a seal of those that were sent (`bridge.targets.oscar.seal`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from bridge.deploy._masking import Mask
from bridge.deploy.model import Action, PropertyChange, ServiceStep
from bridge.errors import PermanentError
from bridge.fdl.model import Document, ProviderRef, Service
from bridge.targets.oscar import OscarClient, RemoteService
from bridge.targets.oscar.body import plain, secrets_in, service_body
from bridge.targets.oscar.compare import differences, unseen
from bridge.targets.oscar.seal import fits, seal

__all__ = [
    "DEPLOYMENT",
    "carry_out",
    "deletion",
    "notes_from_aws",
    "service_notes",
    "service_step",
    "stale",
]

DEPLOYMENT: Final = "oscar-bridge/deployment"
_SEAL: Final = "oscar-bridge/secrets"
_OURS: Final = frozenset({f"annotations.{DEPLOYMENT}", f"annotations.{_SEAL}"})
_TAKEN_OVER: Final = "it was not deployed by oscar-bridge, and is taken over"


def service_step(
    name: str,
    cluster: str,
    service: Service,
    document: Document,
    *,
    there: RemoteService | None,
    mask: Mask,
) -> ServiceStep:
    """What has to be done for one service of the deployment `name`. Pure.

    PermanentError when the cluster has a service of that name that another deployment made.
    """
    body = _wanted(name, cluster, service, document, there)
    if there is None:
        return ServiceStep(cluster, service.name, "create", body)
    owner = _owner(there, name, cluster)
    changed = tuple(
        PropertyChange(one.path, mask.text(one.path, one.there), mask.text(one.path, one.wanted))
        for one in differences(body, there.document)
        if one.path not in _OURS
    )
    resealed = body["annotations"].get(_SEAL, "") != there.annotation(_SEAL)
    why = [
        text
        for text, told in ((_TAKEN_OVER, not owner), ("its secrets are others", resealed))
        if told
    ]
    action: Action = "update" if changed or why else "none"
    return ServiceStep(cluster, service.name, action, body, changed, "; ".join(why))


def _wanted(
    name: str, cluster: str, service: Service, document: Document, there: RemoteService | None
) -> dict[str, Any]:
    """The body with our annotations; the seal stays when the secrets are the same."""
    body = service_body(service, cluster, document)
    secrets = list(secrets_in(body))
    sealed = there.annotation(_SEAL) if there else ""
    if not fits(sealed, secrets):
        sealed = seal(secrets)
    ours = {DEPLOYMENT: name} | ({_SEAL: sealed} if sealed else {})
    return {**body, "annotations": {**body["annotations"], **ours}}


def _owner(there: RemoteService, name: str, cluster: str) -> str:
    owner = there.annotation(DEPLOYMENT)
    if owner not in ("", name):
        raise PermanentError(
            f"service {there.name} of cluster {cluster} belongs to the deployment {owner}",
            hint="give the service another name, or `oscar-bridge destroy` that deployment",
        )
    return owner


def service_notes(
    step: ServiceStep, service: Service, document: Document, there: RemoteService | None
) -> Iterator[str]:
    """What the user should know of a service there that is no change."""
    for ref in sorted({path.provider for path in (*service.inputs, *service.outputs)}):
        provider = document.providers.get(ref)
        if ref.type != "minio" and not (provider and provider.secrets):
            yield (
                f"{service.name} uses {ref}, for which the file has no credentials: "
                f"cluster {step.cluster} must have its own"
            )
    blocks = ", ".join(unseen(step.body, there.document)) if there else ""
    if blocks:
        yield f"cluster {step.cluster} does not show {blocks} of {service.name}: not compared"


def notes_from_aws(service: Service, document: Document, *, lone: bool) -> Iterator[str]:
    """What a service on AWS uses of a cluster's storage, and cannot find.

    A `lone` cluster says itself where its own store is.
    """
    for ref in sorted({path.provider for path in (*service.inputs, *service.outputs)}):
        provider = document.providers.get(ref)
        if lone and ref == ProviderRef("minio"):
            continue
        if ref.type == "minio" and not (provider and provider.settings.get("endpoint")):
            yield (
                f"{service.name} runs on AWS and uses {ref}, and the file does not say where that "
                f"is: write its endpoint and keys under storage_providers, as AWS reaches it"
            )


def stale(
    name: str, cluster: str, listed: Iterable[RemoteService], wanted: Iterable[str]
) -> Iterator[ServiceStep]:
    """The deletions of what the deployment made on the cluster and its file needs no more. Pure."""
    kept = set(wanted)
    for one in listed:
        if one.annotation(DEPLOYMENT) == name and one.name not in kept:
            yield ServiceStep(cluster, one.name, "delete", why="the file needs it no more")


def deletion(
    name: str, cluster: str, service: str, listed: Sequence[RemoteService]
) -> tuple[ServiceStep | None, list[str]]:
    """The deletion of a service that the deployment made, and notes; None for any other. Pure."""
    found = next((one for one in listed if one.name == service), None)
    if found is None:
        return None, []
    if found.annotation(DEPLOYMENT) != name:
        return None, [f"service {service} of cluster {cluster} stays: {name} did not deploy it"]
    paths = (*found.paths("input"), *found.paths("output"))
    buckets = {str(path.get("path", "")).partition("/")[0] for path in paths} - {""}
    kept = [f"bucket {one} stays, with what it holds" for one in sorted(buckets)]
    return ServiceStep(cluster, service, "delete"), kept


def carry_out(client: OscarClient, step: ServiceStep, name: str) -> None:
    """Do a step, whatever has become of the service since it was planned."""
    there = client.service(step.name)
    if there is not None:
        _owner(there, name, step.cluster)
    if step.action == "delete":
        client.retire(step.name)
        return
    write = client.create if there is None else client.update
    write(plain(step.body), [one for _, one in secrets_in(step.body)])
