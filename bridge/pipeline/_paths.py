"""Which storages are the same one, and which files of an output fall into an input."""

from __future__ import annotations

from typing import Final

from bridge.fdl.model import Document, ProviderRef, StoragePath
from bridge.pipeline.model import Certainty

RESERVED_PREFIX: Final = ".oscar-bridge/"

# What names the server of a provider, by its type.
_SERVER = {
    "s3": ("endpoint",),
    "minio": ("endpoint",),
    "onedata": ("oneprovider_host", "space"),
    "webdav": ("hostname",),
    "rucio": ("host",),
}
_DEFAULT_PORTS = (("http://", ":80"), ("https://", ":443"))


def storage_of(ref: ProviderRef, document: Document) -> str:
    """A name of the storage behind a provider, the same for two providers of one storage.

    Two providers are one storage when they are the same reference or their settings name the same
    server. S3 without an endpoint is AWS, where a bucket's name alone says which bucket it is.
    """
    provider = document.providers.get(ref)
    settings = provider.settings if provider else {}
    server = [str(settings.get(name) or "") for name in _SERVER.get(ref.type, ())]
    if server and server[0]:
        return " ".join([_url(server[0]), *server[1:]])
    return "aws" if ref.type == "s3" else str(ref)


def flow(output: StoragePath, taken: StoragePath) -> Certainty | None:
    """Whether files of the output start jobs of the input, both in one bucket of one storage.

    None when no name can: the folders are apart, or the filters exclude each other.
    """
    written, read = _key_prefixes(output), _key_prefixes(taken)
    ends, endings = output.suffix or ("",), taken.suffix or ("",)
    if not any(w.startswith(r) or r.startswith(w) for w in written for r in read):
        return None
    if not any(w.endswith(r) or r.endswith(w) for w in ends for r in endings):
        return None
    inside = all(w.startswith(tuple(read)) for w in written)
    return "certain" if inside and all(w.endswith(tuple(endings)) for w in ends) else "possible"


def _key_prefixes(path: StoragePath) -> list[str]:
    """What the keys of a path start with; none in the folder that we keep for ourselves."""
    keys = [path.key_for(prefix) for prefix in path.prefix or ("",)]
    return [key for key in keys if not key.startswith(RESERVED_PREFIX)]


def _url(text: str) -> str:
    url = text.strip().rstrip("/").lower()
    for scheme, port in _DEFAULT_PORTS:
        if url.startswith(scheme):
            url = url.removesuffix(port)
    return url
