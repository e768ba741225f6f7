"""Grammar of services in OSCAR's words: `functions.oscar`, and our `functions.bridge`."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any, Final, Literal

from bridge.fdl import _placement
from bridge.fdl._context import Built, Context
from bridge.fdl._kinds import Amount, Choice, Flag, Plain, SecretText, Text, Whole
from bridge.fdl._oscar_parts import ENVIRONMENT, EXPOSE, FEDERATION, KSERVE, REPLICA, SYNC, VOLUME
from bridge.fdl._records import Field, ListOf, MapOf, Record, Section, spelled
from bridge.fdl._services import LOG_LEVEL, check_image, dump_environment
from bridge.fdl._storage import (
    STORAGE_PATH,
    check_triggers,
    dump_path,
    storage_path,
    storage_paths,
)
from bridge.fdl.model import Cluster, Resources, Service
from bridge.fdl.options import Expose, Federation, OscarOptions

DEFAULT_CPU: Final = Decimal("0.2")
DEFAULT_MEMORY: Final = 256 * 2**20
_SET_BY_CLUSTER: Final = "the cluster sets it; leave it out"
_ADVICE: Final = {
    **dict.fromkeys(
        ("token", "owner", "namespace", "bucket_list", "volume_status", "deployment"),
        _SET_BY_CLUSTER,
    ),
    "init_script": "write script",
    "storage_providers": "write it at the top of the file",
    "clusters": "write it at the top of the file",
    "targets": "write it under placement",
    "policy": "write it under placement",
}
_TEXTS: Final = ListOf(Text(), lone=True)
_LABELS: Final = MapOf(Text(any_scalar=True))

_FIELDS: Final = (
    Field("name", Text("oscar.name"), "name of the service", required=True),
    Field("image", Text(), "container image", required=True),
    Field("script", Text(), "path of the script to run, relative to this file", default=""),
    Field("memory", Amount("memory", "oscar.memory"), "memory of one job", default=DEFAULT_MEMORY),
    Field("cpu", Amount("cpu"), "cores of one job", default=DEFAULT_CPU),
    Field("enable_gpu", Flag(), "one job needs a GPU", default=False),
    Field(
        "ephemeral_storage_request",
        Amount("memory"),
        "scratch space of one job",
        aliases=("ephemeral_storage", "ephemeral-storage"),
    ),
    Field("timeout", Amount("duration"), "time after which a job is stopped"),
    Field("log_level", LOG_LEVEL, "level of the supervisor's log", default="INFO"),
    Field("file_stage_in", Flag(), "true leaves the input where it is", default=False),
    Field("input", ListOf(STORAGE_PATH), "folders whose new objects start jobs", default=()),
    Field("output", ListOf(STORAGE_PATH), "folders that the outputs go to", default=()),
    Field("environment", ENVIRONMENT, "variables that the script sees"),
    Field("placement", _placement.PLACEMENT, "where the scheduler may place it"),
    Field("total_memory", Amount("memory"), "memory of all jobs together"),
    Field("total_cpu", Amount("cpu"), "cores of all jobs together"),
    Field("enable_sgx", Flag(), "use the SGX device plugin"),
    Field("image_prefetch", Flag(), "pull the image before the first job"),
    Field("alpine", Flag(), "the image is based on Alpine"),
    Field("synchronous", SYNC, "warm copies for synchronous calls"),
    Field("federation", FEDERATION, "other places that may run its jobs"),
    Field("replicas", ListOf(REPLICA), "old spelling of federation.members"),
    Field("delegation", FEDERATION.by_name["delegation"].kind, "old spelling, see federation"),
    Field("rescheduler_threshold", Whole(), "old spelling, see federation"),
    Field("image_pull_secrets", _TEXTS, "names of Kubernetes secrets for the registry"),
    Field("expose", EXPOSE, "the service is a server of its own"),
    Field("annotations", _LABELS, "annotations of its Kubernetes objects"),
    Field("labels", _LABELS, "labels of its Kubernetes objects"),
    Field("vo", _TEXTS, "virtual organisation of its users"),
    Field("interlink_node_name", Text(), "virtual node that runs its jobs"),
    Field("visibility", Choice(("private", "restricted", "public")), "who sees it"),
    Field("allowed_users", _TEXTS, "users of a restricted service"),
    Field("isolation_level", Choice(("SERVICE", "USER")), "whether each user has a bucket"),
    Field("mount", STORAGE_PATH, "folder that is mounted into the container"),
    Field("volume", VOLUME, "managed volume of the container"),
    Field("kserve", KSERVE, "model server beside it"),
)
CONNECTION: Final = (
    Field("endpoint", Text(), "URL of the cluster", default=""),
    Field("auth_user", Text(), "user name", default=""),
    Field("auth_password", SecretText(), "password"),
    Field("ssl_verify", Flag(), "check the server's certificate", default=True),
)
CLUSTER: Final = Record(
    "cluster",
    "Connection to an OSCAR cluster.",
    (
        *CONNECTION,
        Field("memory", Amount("memory"), "not read"),
        Field("cpu", Amount("cpu"), "not read"),
        Field("log_level", LOG_LEVEL, "not read"),
    ),
)
OSCAR_SERVICE: Final = Record(
    "oscar_service",
    "A service of an OSCAR cluster.",
    (*_FIELDS, Field("cluster_id", Text(), "set by clients; the key above says it"), *CONNECTION),
    make=OscarOptions,
    advice=_ADVICE,
)
BRIDGE_SERVICE: Final = Record(
    "bridge_service",
    "A service that the scheduler places, in OSCAR's field names.",
    _FIELDS,
    make=OscarOptions,
    advice=_ADVICE,
)


def spelled_service(value: Any) -> Any:
    """A plain service with the keys of `functions.bridge` as spelled here, and no others."""
    return spelled(BRIDGE_SERVICE, value)


def cluster_of(section: Section, name: str) -> Cluster:
    """The connection of a cluster, from `clusters` or from inside a service."""
    return Cluster(
        id=name,
        endpoint=section.get("endpoint") or "",
        auth_user=section.get("auth_user") or "",
        auth_password=section.get("auth_password"),
        ssl_verify=bool(section.get("ssl_verify")),
        place=section.place(),
    )


def build(section: Section, cluster: str, context: Context) -> Built:
    """One service; `cluster` is "" under `functions.bridge`. Its problems go to the log."""
    origin: Literal["oscar", "bridge"] = "oscar" if cluster else "bridge"
    name = section.get("name") or ""
    script, text = context.script(section, "script")
    _check(section, text, context)
    inputs = storage_paths(section, "input", context, service=name)
    check_triggers(inputs, origin, context)
    placement = _placement.placement(section, context)
    environment = section.sub("environment")
    service = Service(
        name=name,
        origin=origin,
        image=section.get("image") or "",
        resources=_resources(section),
        pin=cluster,
        script=script,
        script_text=text,
        inputs=inputs,
        outputs=storage_paths(section, "output", context, service=name),
        variables=environment.get("variables") or {},
        secrets=environment.get("secrets") or {},
        timeout=section.get("timeout"),
        log_level=section.get("log_level"),
        file_stage_in=section.get("file_stage_in"),
        arch=placement.require.get("arch", "amd64"),
        placement=placement,
        options=_options(section, cluster, context),
        place=section.place(),
    )
    return Built(service, section)


def _resources(section: Section) -> Resources:
    return Resources(
        cpu=section.get("cpu"),
        memory=section.get("memory"),
        gpu=int(section.get("enable_gpu")),
        ephemeral_storage=section.get("ephemeral_storage_request"),
    )


def _check(section: Section, text: str | None, context: Context) -> None:
    """What the table of fields cannot say of a service."""
    exposed = section.sub("expose").get("default_command")
    if "script" not in section.nodes and "kserve" not in section.nodes and not exposed:
        section.missing("script", context.log)
    check_image(section, context)
    if text is not None:
        place = section.place("script")
        size = len(text.encode())
        context.log.check("oscar.script", size, place, place.path, f"a script of {size} bytes")
    _check_volume(section, context)


def _check_volume(section: Section, context: Context) -> None:
    if "volume" not in section:
        return
    volume = section.sub("volume")
    if not {"name", "size"} & volume.nodes.keys():
        message = "a volume needs a size, to be made, or a name, to be attached"
        context.log.at(volume.place(), message)
    mount = volume.get("mount_path")
    if "mount_path" in volume and not mount.startswith("/"):
        context.log.at(volume.place("mount_path"), f"{mount!r} is not an absolute path")
    elif any(f"{mount}/".startswith(f"{own}/") for own in ("/oscar/config", "/oscar/bin")):
        message = f"{mount!r} belongs to the platform"
        context.log.at(volume.place("mount_path"), message, "mount it somewhere else")


def _options(section: Section, cluster: str, context: Context) -> OscarOptions:
    mount = section.sub("mount") if "mount" in section else None
    options: OscarOptions = section.build(
        cluster_id=cluster,
        federation=_federation(section),
        expose=_expose(section),
        mount=storage_path(mount, context) if mount else None,
    )
    return options


def _expose(section: Section) -> Expose | None:
    if "expose" not in section:
        return None
    expose: Expose = section.sub("expose").build()
    # A port of 0 is how upstream's clients write "none".
    return dataclasses.replace(
        expose,
        api_port=tuple(filter(None, expose.api_port)),
        node_port=tuple(filter(None, expose.node_port)),
    )


def _federation(section: Section) -> Federation | None:
    """The federation block, filled up with the keys that OSCAR v3 had beside it."""
    old = {
        name: section.get(key)
        for name, key in (
            ("members", "replicas"),
            ("delegation", "delegation"),
            ("rescheduler_threshold", "rescheduler_threshold"),
        )
        if key in section
    }
    if "federation" not in section and not old:
        return None
    block = section.sub("federation")
    if "members" in old and "members" not in block:
        old["members"] = tuple(member.build() for member in old["members"])
    filled = {name: value for name, value in old.items() if name not in block}
    federation: Federation = block.build(**filled)
    return federation


def dump(service: Service, reveal: bool) -> dict[str, Plain]:
    """The plain map of a service that `build` made."""
    options = service.options
    if not isinstance(options, OscarOptions):
        raise TypeError(f"the service {service.name} carries no OscarOptions")
    record = OSCAR_SERVICE if service.origin == "oscar" else BRIDGE_SERVICE
    own: dict[str, Any] = {
        "name": service.name,
        "image": service.image,
        "script": service.script,
        "memory": service.resources.memory,
        "cpu": service.resources.cpu,
        "enable_gpu": bool(service.resources.gpu),
        "ephemeral_storage_request": service.resources.ephemeral_storage,
        "timeout": service.timeout,
        "log_level": service.log_level,
        "file_stage_in": service.file_stage_in,
        "input": tuple(map(dump_path, service.inputs)),
        "output": tuple(map(dump_path, service.outputs)),
        "environment": dump_environment(service),
    }
    plain = record.dump(own, reveal)
    placement = _placement.dump_placement(service, reveal)
    plain |= {"placement": placement} if placement else {}
    rest = record.dump(dataclasses.replace(options, cluster_id="", mount=None), reveal)
    mount = {"mount": STORAGE_PATH.dump(dump_path(options.mount), reveal)} if options.mount else {}
    required = {f.name for f in record.fields if f.required}
    return plain | {key: value for key, value in rest.items() if key not in required} | mount
