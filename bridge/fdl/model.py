"""What an FDL file means: one typed model for a service, whatever grammar it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from bridge.secret import Secret

if TYPE_CHECKING:
    from bridge.fdl.options import AwsOptions, OscarOptions

Origin = Literal["oscar", "aws", "bridge"]
ExecutionMode = Literal["lambda", "lambda-batch", "batch"]
TargetKind = Literal["kubernetes", "knative", "oscar", "lambda", "batch", "local"]
ProviderType = Literal["s3", "minio", "onedata", "webdav", "rucio"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the FDL file (1-based), and its path in the document."""

    line: int
    column: int
    path: str


@dataclass(frozen=True, slots=True, order=True)
class ProviderRef:
    """A storage provider by type and id. `minio` alone in a file means `minio.default`."""

    type: ProviderType
    id: str = "default"

    def __str__(self) -> str:
        return f"{self.type}.{self.id}"


@dataclass(frozen=True, slots=True)
class StoragePath:
    """One input, output or mount of a service.

    `path` is normalised: no leading or trailing slash, `<service>/<path>` already applied to
    OSCAR paths without a slash. `prefix` and `suffix` filter names relative to the folder.
    """

    provider: ProviderRef
    path: str
    prefix: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ()
    options: str = ""
    place: Place | None = field(default=None, compare=False)

    @property
    def bucket(self) -> str:
        """First segment of the path."""
        return self.path.partition("/")[0]

    @property
    def folder(self) -> str:
        """The rest of the path, without slashes at its ends; empty for a whole bucket."""
        return self.path.partition("/")[2]

    def key_for(self, name: str) -> str:
        """Object key under this path for a file name relative to the output folder."""
        return f"{self.folder}/{name}" if self.folder else name

    def __str__(self) -> str:
        return f"{self.provider}:{self.path}"


@dataclass(frozen=True, slots=True)
class StorageProvider:
    """Connection data of one provider. Credential fields are in `secrets`, the rest in `settings`.

    Settings keep upstream's names (`endpoint`, `region`, `verify`, `hostname`, `space`, …).
    """

    ref: ProviderRef
    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Cluster:
    """An OSCAR cluster named under `clusters:`."""

    id: str
    endpoint: str = ""
    auth_user: str = ""
    auth_password: Secret | None = None
    ssl_verify: bool = True
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """A target: a place that can run services.

    Declared under the top-level `targets:`, or implied: each cluster id makes an `oscar` target of
    that name, and `aws-lambda` and `aws-batch` exist in every file.
    `cost_per_hour` is the price in USD of one busy vCPU-hour there (0 for owned machines).
    `carbon_per_hour` are the grams of CO2e of that hour, None when nobody says.
    `slots`, `cpu` and `memory` bound what it can run at once; None means no bound known.
    `vos` are the virtual organisations whose services it runs; empty for all.
    """

    name: str
    kind: TargetKind
    region: str = ""
    arch: Literal["amd64", "arm64"] = "amd64"
    gpu: int = 0
    cpu: Decimal | None = None
    memory: int | None = None
    slots: int | None = None
    cost_per_hour: Decimal = Decimal(0)
    carbon_per_hour: float | None = None
    vos: tuple[str, ...] = ()
    implied: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Resources:
    """What one job of a service needs. `cpu` in cores, `memory` and `storage` in bytes."""

    cpu: Decimal
    memory: int
    gpu: int = 0
    ephemeral_storage: int | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """The `placement:` block. Times in seconds, money in USD; None means not given.

    `avoid` holds tuples by `target`, `region` and `kind`. `residency` are regions, or what their
    names begin with before a dash. `budget` is what all jobs of the service may cost by `day` and
    `month`. `shadow` is a policy that is asked too and does not decide.
    """

    targets: tuple[str, ...] = ()
    policy: str = ""
    require: Mapping[str, Any] = field(default_factory=dict)
    prefer: Mapping[str, Any] = field(default_factory=dict)
    deadline: float | None = None
    max_cost: Decimal | None = None
    fallback: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    avoid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    residency: tuple[str, ...] = ()
    budget: Mapping[str, Decimal] = field(default_factory=dict)
    shadow: str = ""
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Service:
    """What FDL describes: run this script in this image for each object that lands there.

    `timeout` is in seconds, None when the file gives none. `script` is the path as written,
    `script_text` its content with LF line ends (None when there is no script).
    `variables` is what the script sees; `secrets` too, but they are never printed.
    `options` holds the typed fields that only one platform knows (see `bridge.fdl.options`).
    `pin` is the name of the target that the file's position implies ("" for `functions.bridge`).
    """

    name: str
    origin: Origin
    image: str
    resources: Resources
    pin: str = ""
    execution_mode: ExecutionMode | None = None
    script: str = ""
    script_text: str | None = None
    inputs: tuple[StoragePath, ...] = ()
    outputs: tuple[StoragePath, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    timeout: float | None = None
    log_level: str = "INFO"
    file_stage_in: bool = False
    arch: Literal["amd64", "arm64"] = "amd64"
    placement: Placement = field(default_factory=Placement)
    options: OscarOptions | AwsOptions | None = None
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole FDL file after validation. Mappings keep the file's order."""

    file: str
    services: tuple[Service, ...]
    providers: Mapping[ProviderRef, StorageProvider] = field(default_factory=dict)
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    targets: Mapping[str, TargetSpec] = field(default_factory=dict)

    def service(self, name: str) -> Service:
        """The service of that name; KeyError when there is none."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)
