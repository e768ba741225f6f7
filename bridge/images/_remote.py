"""Service images without an engine: from a registry into a registry, by its API alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.errors import NotFoundError, PermanentError
from bridge.images import _layer, _recipe
from bridge.images.model import ImagePlan, Reference, Source
from bridge.images.registry import (
    DOCKER_MANIFEST,
    INDEXES,
    MANIFESTS,
    Blob,
    Manifest,
    Registry,
    encode,
)

_OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
_DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True, slots=True)
class Remote:
    """An image in a registry: its manifest and its configuration."""

    manifest: Manifest
    config: Mapping[str, Any]

    @property
    def layers(self) -> list[Mapping[str, Any]]:
        """Descriptors of the layers, lowest first."""
        return list(self.manifest.document["layers"])


def find(registry: Registry, image: Reference, arch: str) -> tuple[Source, dict[str, str]]:
    """An image of a registry and its labels; of several architectures it is the one of `arch`."""
    found = read(registry, image.repository, image.version, arch, str(image))
    if found.config.get("os", "linux") != "linux":
        raise PermanentError(f"image {image} is for {found.config['os']}, not for Linux")
    inner = found.config.get("config") or {}
    is_arch = str(found.config.get("architecture", ""))
    layers = list(found.config["rootfs"]["diff_ids"])
    source = Source(
        name=str(image),
        identity=_recipe.identity(is_arch, layers, inner),
        arch=is_arch,
        where="registry",
        digest=found.manifest.digest,
        entrypoint=tuple(inner.get("Entrypoint") or ()),
        command=tuple(inner.get("Cmd") or ()),
        triggers=tuple(inner.get("OnBuild") or ()),
    )
    return source, dict(inner.get("Labels") or {})


def read(registry: Registry, repository: str, version: str, arch: str, name: str) -> Remote:
    """The manifest and configuration that a tag or digest means for an architecture."""
    manifest = registry.manifest(repository, version)
    if manifest.media_type in INDEXES:
        chosen = _choose(manifest.document.get("manifests", ()), arch, name)
        manifest = registry.manifest(repository, chosen)
    if manifest.media_type not in MANIFESTS:
        raise PermanentError(
            f"image {name} has a manifest of the kind {manifest.media_type!r}",
            hint="push it again with a newer engine: Docker schema 2 and OCI images are understood",
        )
    config = registry.config(repository, manifest.document["config"]["digest"])
    if "rootfs" not in config:
        raise PermanentError(f"{name} is in the registry, but it is not an image")
    return Remote(manifest, config)


def build(plan: ImagePlan, source: Registry, target: Registry, runtime: Path) -> str:
    """Make the image of a plan in the target's registry; the answer is its manifest's digest."""
    origin = Reference.parse(plan.source.name)
    found = read(source, origin.repository, plan.source.digest, plan.source.arch, str(origin))
    repository, same = plan.target.repository, source.host == target.host
    for layer in found.layers:
        blob = source.blob(origin.repository, layer["digest"], layer["size"])
        target.push_blob(repository, blob, mount_from=origin.repository if same else "")
    with _layer.compressed(runtime) as added:
        target.push_blob(repository, Blob.of_file(added.path, added.digest, added.size))
    config = Blob.of(encode(_recipe.service_config(found.config, added.diff_id, plan.labels)))
    target.push_blob(repository, config)
    document = _manifest(found.manifest, config, added)
    return target.put_manifest(repository, plan.target.tag, found.manifest.media_type, document)


def _choose(manifests: Iterable[Mapping[str, Any]], arch: str, name: str) -> str:
    offered = []
    for one in manifests:
        platform = one.get("platform") or {}
        if platform.get("os") == "linux":
            if platform.get("architecture") == arch:
                return str(one["digest"])
            offered.append(str(platform.get("architecture")))
    there = ", ".join(sorted(set(offered))) or "none for Linux"
    raise NotFoundError(
        f"image {name} is not there for {arch} (it is for: {there})",
        hint="name an image of that architecture, or change the service's",
    )


def _manifest(origin: Manifest, config: Blob, added: _layer.Layer) -> dict[str, Any]:
    kind = _DOCKER_LAYER if origin.media_type == DOCKER_MANIFEST else _OCI_LAYER
    layer = {"mediaType": kind, "digest": added.digest, "size": added.size}
    return {
        "schemaVersion": 2,
        "mediaType": origin.media_type,
        "config": {
            "mediaType": origin.document["config"]["mediaType"],
            "digest": config.digest,
            "size": config.size,
        },
        "layers": [*origin.document["layers"], layer],
    }
