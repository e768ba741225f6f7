"""The pod of a service: its image with the runtime beside it. Plain mappings; pure.

The runtime's image copies its folder into a volume that the service's container has at
/opt/bridge; the service stands in a ConfigMap, credentials in a Secret (the job contract).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from bridge.errors import PermanentError
from bridge.fdl.model import ProviderRef, Service
from bridge.fdl.quantities import format_cpu, format_memory
from bridge.targets.kubernetes._names import (
    config_name,
    object_name,
    options_of,
    providers_name,
    secret_name,
)
from bridge.targets.kubernetes.settings import ClusterSettings
from bridge.targets.render import ProviderAccess, used_access

__all__ = [
    "CONFIG",
    "MAIN",
    "PROVIDERS",
    "RUNTIME",
    "SUPERVISOR",
    "credential_files",
    "environment",
    "image_name",
    "main_container",
    "pod_spec",
    "volume_name",
]

MAIN: Final = "oscar-container"
RUNTIME: Final = "bridge-runtime"
CONFIG: Final = "/oscar/config"
PROVIDERS: Final = "/var/run/secrets/providers"
SUPERVISOR: Final = "/opt/bridge/bin/bridge-supervisor"

_HOME: Final = "/opt/bridge"
_COPY: Final = "/bridge"
_COPY_MEMORY: Final = 128 * 2**20
_COPY_CPU: Final = Decimal(1)
_GPU: Final = "nvidia.com/gpu"
_SGX: Final = "sgx.intel.com/enclave"
_INTERLINK: Final = "virtual-node.interlink/no-schedule"
_HOSTNAME: Final = "kubernetes.io/hostname"


def pod_spec(
    service: Service,
    settings: ClusterSettings,
    access: Mapping[ProviderRef, ProviderAccess],
    *,
    runtime_image: str,
    command: Sequence[str],
    variables: Mapping[str, str],
) -> dict[str, Any]:
    """The pod of a service that runs `command` with these variables beside the service's own.

    PermanentError for what a pod of ours cannot have.
    """
    options = options_of(service)
    if options.mount is not None:
        raise PermanentError(
            f"service {service.name}: a bucket is not mounted, as that needs a privileged container"
            " on the node",
            hint="take the objects as `input`, or use a `volume`",
        )
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "initContainers": [_copying(service, runtime_image)],
        "containers": [_container(service, access, command, variables)],
        "volumes": _volumes(service, access),
    }
    pull = dict.fromkeys((*settings.image_pull_secrets, *options.image_pull_secrets))
    if pull:
        spec["imagePullSecrets"] = [{"name": name} for name in pull]
    selector = dict(settings.node_selector)
    tolerations = [dict(one) for one in settings.tolerations]
    if options.interlink_node_name:
        selector[_HOSTNAME] = options.interlink_node_name
        tolerations.append({"key": _INTERLINK, "operator": "Exists"})
    if selector:
        spec["nodeSelector"] = selector
    if tolerations:
        spec["tolerations"] = tolerations
    return spec


def main_container(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The service's own container in a pod that `pod_spec` made, to be added to."""
    container: dict[str, Any] = spec["containers"][0]
    return container


def image_name(image: str) -> str:
    """The image as a cluster wants it: FDL may say `docker://` before it."""
    return image.removeprefix("docker://")


def environment(variables: Mapping[str, str]) -> list[dict[str, Any]]:
    """Variables of a container, literally: Kubernetes would replace `$(NAME)` in them."""
    return [{"name": name, "value": value.replace("$", "$$")} for name, value in variables.items()]


def credential_files(
    service: Service, access: Mapping[ProviderRef, ProviderAccess]
) -> dict[str, tuple[str, str]]:
    """Path of each credential under PROVIDERS → its key in the Secret, and its value, revealed."""
    found = {}
    for ref, one in used_access(service, access).items():
        for field, secret in one.secrets.items():
            found[f"{ref}/{field}"] = (f"{ref}.{field}", secret.reveal())
    return found


def volume_name(service: Service) -> str:
    """Name of the volume claim of a service; "" for none."""
    volume = options_of(service).volume
    return "" if volume is None else volume.name or object_name(service.name)


def _copying(service: Service, image: str) -> dict[str, Any]:
    """The container that brings the runtime. Its requests are never above the service's own,
    as the larger of both is what the scheduler looks for."""
    resources = service.resources
    memory = max(resources.memory, _COPY_MEMORY)
    return {
        "name": RUNTIME,
        "image": image,
        "args": [_COPY],
        "resources": {
            "limits": _amounts(max(resources.cpu, _COPY_CPU), memory),
            "requests": _amounts(resources.cpu, resources.memory),
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": RUNTIME, "mountPath": _COPY}],
    }


def _container(
    service: Service,
    access: Mapping[ProviderRef, ProviderAccess],
    command: Sequence[str],
    variables: Mapping[str, str],
) -> dict[str, Any]:
    options = options_of(service)
    own = {**service.variables, "OSCAR_SERVICE_NAME": service.name, **variables}
    node = {"name": "RESOURCE_ID", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    mounts: list[dict[str, Any]] = [
        {"name": RUNTIME, "mountPath": _HOME, "readOnly": True},
        {"name": "config", "mountPath": CONFIG, "readOnly": True},
    ]
    if credential_files(service, access):
        mounts.append({"name": "providers", "mountPath": PROVIDERS, "readOnly": True})
    if options.volume is not None:
        mounts.append({"name": "volume", "mountPath": options.volume.mount_path})
    container: dict[str, Any] = {
        "name": MAIN,
        "image": image_name(service.image),
        "command": list(command),
        "env": [*environment(own), node],
        "resources": _resources(service),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    if service.secrets:
        container["envFrom"] = [{"secretRef": {"name": secret_name(service.name)}}]
    if options.enable_sgx:
        container["securityContext"] = {"capabilities": {"add": ["SYS_RAWIO"]}}
    return container


def _resources(service: Service) -> dict[str, Any]:
    wanted = service.resources
    amounts = _amounts(wanted.cpu, wanted.memory)
    if wanted.gpu:
        amounts[_GPU] = str(wanted.gpu)
    if options_of(service).enable_sgx:
        amounts[_SGX] = "1"
    requests = dict(amounts)
    if wanted.ephemeral_storage is not None:
        requests["ephemeral-storage"] = format_memory(wanted.ephemeral_storage)
    return {"limits": amounts, "requests": requests}


def _amounts(cpu: Decimal, memory: int) -> dict[str, str]:
    return {"cpu": format_cpu(cpu), "memory": format_memory(memory)}


def _volumes(
    service: Service, access: Mapping[ProviderRef, ProviderAccess]
) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": RUNTIME, "emptyDir": {}},
        {"name": "config", "configMap": {"name": config_name(service.name)}},
    ]
    files = credential_files(service, access)
    if files:
        items = [{"key": key, "path": path} for path, (key, _) in files.items()]
        secret = {"secretName": providers_name(service.name), "items": items}
        volumes.append({"name": "providers", "secret": secret})
    if claim := volume_name(service):
        volumes.append({"name": "volume", "persistentVolumeClaim": {"claimName": claim}})
    return volumes
