"""Grammar of storage: providers with their credentials, and the inputs, outputs and mounts."""

from __future__ import annotations

from typing import Any, Final, get_args

from bridge.fdl._context import Context
from bridge.fdl._kinds import Flag, Kind, SecretText, Text
from bridge.fdl._records import Field, ListOf, MapOf, Record, Section
from bridge.fdl._tree import did_you_mean, one_of
from bridge.fdl.model import ProviderRef, ProviderType, StoragePath, StorageProvider

TYPES: Final[tuple[ProviderType, ...]] = get_args(ProviderType)
OBJECT_STORES: Final = ("minio", "s3")
# Which providers can start a service by an object that arrives, by where the service stands.
TRIGGERS: Final[dict[str, tuple[str, ...]]] = {
    "oscar": ("minio", "webdav", "rucio"),
    "aws": ("s3",),
    "bridge": ("minio", "s3", "webdav", "onedata", "rucio"),
}
# Known without being defined: a cluster's own MinIO, and S3 with the ambient credentials.
ALWAYS: Final = frozenset({ProviderRef("minio"), ProviderRef("s3")})

_ENDPOINT: Final = Field("endpoint", Text(), "URL of the server")
_REGION: Final = Field("region", Text(), "region of the buckets")
_VERIFY: Final = Field("verify", Flag(), "check the server's certificate")


def _secret(name: str, description: str) -> Field:
    return Field(name, SecretText(), description)


def _text(name: str, description: str) -> Field:
    return Field(name, Text(), description)


_KEYS: Final = (
    _secret("access_key", "access key"),
    _secret("secret_key", "secret key"),
)
_PROVIDER_FIELDS: Final[dict[str, tuple[Field, ...]]] = {
    "s3": (
        *_KEYS,
        _secret("session_token", "token of temporary keys"),
        _REGION,
        _ENDPOINT,
        _VERIFY,
    ),
    "minio": (_ENDPOINT, _VERIFY, *_KEYS, _REGION),
    "onedata": (
        _text("oneprovider_host", "host of the Oneprovider"),
        _secret("token", "access token"),
        _text("space", "name of the space"),
    ),
    "webdav": (
        _text("hostname", "URL of the server"),
        _secret("login", "user name"),
        _secret("password", "password"),
    ),
    "rucio": (
        _text("host", "URL of the Rucio server"),
        _text("auth_host", "URL of the authentication server"),
        _text("rse", "storage element"),
        _text("account", "account, which is also the scope"),
        _secret("access_token", "access token"),
        _secret("refresh_token", "token that access tokens are made from"),
        _text("token_endpoint", "URL that makes access tokens"),
        _text("oidc_audience", "audience of the tokens"),
        _text("client_id", "client that asks for tokens"),
        _text("scopes", "scopes of the tokens"),
    ),
}

PROVIDERS: Final = Record(
    "storage_providers",
    "Connections to storage, by type and by a name of your own.",
    tuple(
        Field(
            kind,
            MapOf(
                Record(f"{kind}_provider", f"Connection to {kind}.", _PROVIDER_FIELDS[kind]),
                keys=r"[^\s.]+(\.[^\s.]+)*",
                what="a name without blanks",
            ),
            f"connections to {kind}, by name",
        )
        for kind in TYPES
    ),
)

_FILTER: Final[Kind] = ListOf(Text(), lone=True)
STORAGE_PATH: Final = Record(
    "storage_path",
    "A folder of a storage provider.",
    (
        Field("storage_provider", Text(), "provider as <type> or <type>.<name>", required=True),
        Field("path", Text(), "bucket and folder, such as my-bucket/in", required=True),
        Field("prefix", _FILTER, "only names that start with one of these", default=()),
        Field("suffix", _FILTER, "only names that end with one of these", default=()),
        Field("options", Text("oscar.mount_options"), "mount options", default=""),
    ),
)


def providers(section: Section) -> dict[ProviderRef, StorageProvider]:
    """The connections that a file defines."""
    found = {}
    for kind in TYPES:
        for name, connection in (section.get(kind) or {}).items():
            ref = ProviderRef(kind, name)
            found[ref] = _provider(ref, connection)
    return found


def _provider(ref: ProviderRef, section: Section) -> StorageProvider:
    fields = section.record.by_name
    secret = {name for name in section.values if isinstance(fields[name].kind, SecretText)}
    return StorageProvider(
        ref,
        settings={name: value for name, value in section.values.items() if name not in secret},
        secrets={name: section.values[name] for name in section.values if name in secret},
        place=section.place(),
    )


def storage_paths(
    section: Section, name: str, context: Context, *, service: str | None = None
) -> tuple[StoragePath, ...]:
    """The inputs or outputs under a key; `service` is the folder's owner in OSCAR's path rule."""
    found = (storage_path(item, context, service=service) for item in section.get(name) or ())
    return tuple(path for path in found if path is not None)


def storage_path(
    section: Section, context: Context, *, service: str | None = None
) -> StoragePath | None:
    """One path; None when it is wrong, with the reason in the log.

    With `service`, a MinIO or S3 path without a slash becomes `<service>/<path>`; "" stands for a
    service whose name is wrong, of which nothing more is said.
    """
    ref = _provider_ref(section, context)
    path = _path(section, context)
    if ref is None or not path:
        return None
    if ref.type in OBJECT_STORES:
        if service is not None and "/" not in path:
            if not service:
                return None
            path = f"{service}/{path}"
        _check_object_path(section, path, context)
    return StoragePath(
        ref,
        path,
        prefix=section.get("prefix"),
        suffix=section.get("suffix"),
        options=section.get("options"),
        place=section.place(),
    )


def _provider_ref(section: Section, context: Context) -> ProviderRef | None:
    written = section.get("storage_provider")
    if not written:
        return None
    kind, _, name = written.partition(".")
    kind = kind.lower()
    place = section.place("storage_provider")
    if kind not in TYPES:
        message = f"{kind!r} is not a type of storage provider"
        context.log.at(place, message, did_you_mean(kind, TYPES) or one_of(TYPES))
        return None
    ref = ProviderRef(kind, name or "default")
    if not _is_defined(ref, context):
        hint = f"define it under storage_providers.{ref}"
        context.log.at(place, f"the storage provider {ref} is not defined", hint)
    return ref


def _is_defined(ref: ProviderRef, context: Context) -> bool:
    own = ref.type == "minio" and ref.id in context.clusters
    return own or ref in ALWAYS or ref in context.providers


def _path(section: Section, context: Context) -> str:
    if "path" not in section:
        return ""
    path: str = section.get("path").strip().strip("/").strip()
    place = section.place("path")
    if not path:
        context.log.at(place, "the path is empty", "write a bucket and a folder")
    elif any(part in {"", ".", ".."} for part in path.split("/")):
        context.log.at(
            place, f"{path!r} has an empty part, '.' or '..'", "write plain folder names"
        )
        return ""
    return path


def _check_object_path(section: Section, path: str, context: Context) -> None:
    place = section.place("path")
    bucket, _, folder = path.partition("/")
    context.log.check("s3.bucket_name", bucket, place, place.path, f"the bucket name {bucket!r}")
    size = len(folder.encode())
    context.log.check("s3.key", size, place, place.path, f"a folder name of {size} bytes")


def check_triggers(paths: tuple[StoragePath, ...], origin: str, context: Context) -> None:
    """Say which inputs cannot start a service that stands there."""
    allowed = TRIGGERS[origin]
    for path in paths:
        if path.provider.type not in allowed and path.place is not None:
            message = f"an input on {path.provider.type} cannot start a service here"
            hint = f"the input of a service under functions.{origin} is {one_of(allowed)}"
            context.log.at(path.place, message, hint)


def dump_path(path: StoragePath) -> dict[str, Any]:
    """The values of STORAGE_PATH's fields."""
    return {
        "storage_provider": str(path.provider),
        "path": path.path,
        "prefix": path.prefix,
        "suffix": path.suffix,
        "options": path.options,
    }
