"""Small images in registries, made of bytes."""

from __future__ import annotations

import gzip
import io
import secrets
import tarfile
from typing import Any

from bridge.images.registry import Blob, Registry, digest_of, encode

OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = {
    OCI: "application/vnd.oci.image.config.v1+json",
    DOCKER: "application/vnd.docker.container.image.v1+json",
}
_LAYER = {
    OCI: "application/vnd.oci.image.layer.v1.tar+gzip",
    DOCKER: "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
USERS: dict[str, Any] = {
    "User": "1000:1000",
    "Env": ["PATH=/bin", "MINE=a b"],
    "Entrypoint": ["/bin/entry", "-x"],
    "Cmd": ["serve"],
    "WorkingDir": "/srv",
    "Labels": {"mine": "yes"},
}


def layer(size: int = 100) -> tuple[bytes, str]:
    """A compressed layer with one file of random bytes, and its digest uncompressed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("data")
        entry.size = size
        archive.addfile(entry, io.BytesIO(secrets.token_bytes(size)))
    return gzip.compress(out.getvalue(), 1, mtime=0), digest_of(out.getvalue())


def repository() -> str:
    """A repository's name that nobody else uses."""
    return f"tests/{secrets.token_hex(6)}"


def put(  # noqa: PLR0917
    registry: Registry,
    name: str,
    tag: str = "1",
    arch: str = "amd64",
    kind: str = OCI,
    size: int = 100,
    os: str = "linux",
) -> str:
    """Push an image of one layer; the answer is its manifest's digest."""
    data, plain = layer(size)
    document = {
        "architecture": arch,
        "os": os,
        "created": "2024-05-06T07:08:09Z",
        "config": USERS,
        "rootfs": {"type": "layers", "diff_ids": [plain]},
        "history": [{"created_by": "tests"}],
    }
    config = Blob.of(encode(document))
    blob = Blob.of(data)
    registry.push_blob(name, blob)
    registry.push_blob(name, config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {"mediaType": _CONFIG[kind], "digest": config.digest, "size": config.size},
        "layers": [{"mediaType": _LAYER[kind], "digest": blob.digest, "size": blob.size}],
    }
    return registry.put_manifest(name, tag, kind, manifest)


def put_index(registry: Registry, name: str, tag: str = "1") -> dict[str, str]:
    """Push an image of two architectures; the answer is the digest of each."""
    digests = {arch: put(registry, name, f"{tag}-{arch}", arch) for arch in ("amd64", "arm64")}
    entries = [
        {
            "mediaType": OCI,
            "digest": digest,
            "size": len(_manifest(registry, name, digest)),
            "platform": {"architecture": arch, "os": "linux"},
        }
        for arch, digest in digests.items()
    ]
    kind = "application/vnd.oci.image.index.v1+json"
    index = {"schemaVersion": 2, "mediaType": kind, "manifests": entries}
    registry.put_manifest(name, tag, kind, index)
    return digests


def _manifest(registry: Registry, name: str, digest: str) -> bytes:
    return encode(registry.manifest(name, digest).document)
