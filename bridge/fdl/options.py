"""What only one platform knows about a service: the typed values in `Service.options`.

A service under `functions.oscar` or `functions.bridge` carries OscarOptions, one under
`functions.aws` carries AwsOptions. Defaults are upstream's unless a comment says why not.
Times are in seconds, sizes in the unit that the field's comment or name gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from bridge.secret import Secret

if TYPE_CHECKING:
    from bridge.fdl._aws_options import (
        ApiGatewayOptions,
        AwsOptions,
        BatchOptions,
        CloudWatchOptions,
        ComputeResources,
        ContainerOptions,
        DeploymentOptions,
        EcrOptions,
        IamOptions,
        LambdaOptions,
        MultiNodeParallel,
        S3Options,
        SupervisorOptions,
    )
    from bridge.fdl.model import StoragePath

__all__ = [
    "ApiGatewayOptions",
    "AwsOptions",
    "BatchOptions",
    "CloudWatchOptions",
    "ComputeResources",
    "ContainerOptions",
    "DeploymentOptions",
    "EcrOptions",
    "Expose",
    "Federation",
    "IamOptions",
    "Kserve",
    "KserveInference",
    "KserveLlmInference",
    "LambdaOptions",
    "MultiNodeParallel",
    "OscarOptions",
    "Replica",
    "S3Options",
    "SupervisorOptions",
    "Synchronous",
    "Volume",
]


@dataclass(frozen=True, slots=True)
class Synchronous:
    """Warm copies that answer synchronous calls; `max_scale` 0 means no bound."""

    min_scale: int = 0
    max_scale: int = 0


@dataclass(frozen=True, slots=True)
class Replica:
    """Another place that may run this service's jobs: a service of a cluster, or a URL."""

    type: Literal["oscar", "endpoint"] = "oscar"
    cluster_id: str = ""
    service_name: str = ""
    url: str = ""
    ssl_verify: bool = True
    priority: int = 0
    headers: Mapping[str, Secret] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Federation:
    """The group of replicas and how a job is delegated to one of them."""

    group_id: str = ""
    topology: Literal["none", "star", "mesh"] = "none"
    delegation: Literal["", "static", "random", "load-based", "topsis"] = ""
    rescheduler_threshold: int = 0
    members: tuple[Replica, ...] = ()


@dataclass(frozen=True, slots=True)
class Expose:
    """A service that is a server of its own.

    The defaults are the documented ones; upstream never applies them and stores zeros, with which
    such a service has no copy at all. No `api_port` means that it is not exposed.
    """

    min_scale: int = 1
    max_scale: int = 10
    api_port: tuple[int, ...] = ()
    cpu_threshold: int = 80
    rewrite_target: bool = False
    node_port: tuple[int, ...] = ()
    default_command: bool = False
    set_auth: bool = False
    auth_type: str = ""
    health_path: str = "/"
    probe_mode: str = ""


@dataclass(frozen=True, slots=True)
class Volume:
    """A managed volume: made with the service when `size` (bytes) is given, else attached."""

    mount_path: str = ""
    name: str = ""
    size: int | None = None
    lifecycle_policy: Literal["delete", "retain"] = "delete"


@dataclass(frozen=True, slots=True)
class KserveInference:
    """Model serving by format."""

    model_format: str = ""
    runtime: str = ""


@dataclass(frozen=True, slots=True)
class KserveLlmInference:
    """Language model serving by runtime image."""

    runtime_image: str = ""


@dataclass(frozen=True, slots=True)
class Kserve:
    """A KServe inference service beside this one. `cpu` in cores, `memory` in bytes."""

    type: str = ""
    storage_uri: str = ""
    inference: KserveInference | None = None
    llm_inference: KserveLlmInference | None = None
    api_version: str = "v1"
    min_scale: int = 0
    max_scale: int = 1
    cpu: Decimal = Decimal("0.2")
    memory: int = 256 * 2**20
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    enable_gpu: bool = False
    set_auth: bool = True


@dataclass(frozen=True, slots=True)
class OscarOptions:
    """What only an OSCAR cluster (or our own Kubernetes target) knows of a service.

    `total_memory` is in bytes and `total_cpu` in cores: caps over all running jobs of the service.
    `cluster_id` is the cluster that the file's position names, "" under `functions.bridge`.
    `bucket_list` are the buckets of the service's users, kept apart; no file says them.
    """

    cluster_id: str = ""
    total_memory: int | None = None
    total_cpu: Decimal | None = None
    enable_sgx: bool = False
    image_prefetch: bool = False
    alpine: bool = False
    synchronous: Synchronous = field(default_factory=Synchronous)
    federation: Federation | None = None
    image_pull_secrets: tuple[str, ...] = ()
    expose: Expose | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    vo: tuple[str, ...] = ()
    interlink_node_name: str = ""
    visibility: Literal["private", "restricted", "public"] = "private"
    allowed_users: tuple[str, ...] = ()
    isolation_level: Literal["SERVICE", "USER"] = "SERVICE"
    bucket_list: tuple[str, ...] = ()
    mount: StoragePath | None = None
    volume: Volume | None = None
    kserve: Kserve | None = None


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("bridge.fdl._aws_options"), name)
