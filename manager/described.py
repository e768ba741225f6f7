"""What routes take and give, for the OpenAPI description: shapes, and an example of each body.

Nothing is checked by them: clients of OSCAR are read leniently. A test holds the answers to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NotRequired

# Not those of typing: pydantic reads these before Python 3.12.
from typing_extensions import TypedDict

__all__ = ["describe"]

Text = dict[str, str]
Things = dict[str, Any]


# --- services -------------------------------------------------------------------------------------


class Path(TypedDict):
    """An input or an output: `bucket/folder` at a provider."""

    storage_provider: str
    path: str
    prefix: NotRequired[list[str]]
    suffix: NotRequired[list[str]]


class Environment(TypedDict):
    """What a script finds in its environment. Secrets that are blank stay as they are."""

    variables: NotRequired[Text]
    secrets: NotRequired[Text]


class ServiceIn(TypedDict):
    """An entry of an FDL file, with the script's text; docs/fdl.md has all keys."""

    name: str
    image: NotRequired[str]
    script: NotRequired[str]
    cpu: NotRequired[str | float]
    memory: NotRequired[str | int]
    input: NotRequired[list[Path]]
    output: NotRequired[list[Path]]
    environment: NotRequired[Environment]
    visibility: NotRequired[Literal["private", "restricted", "public"]]
    allowed_users: NotRequired[list[str]]
    placement: NotRequired[Things]


class ServiceOut(TypedDict):
    """A service; its secrets are blank, its token is its owner's to see."""

    name: str
    image: str
    cpu: str
    memory: str
    token: str
    owner: str
    visibility: str
    labels: Text
    environment: Things
    expose: Things


class Deployment(TypedDict):
    """How a service stands."""

    service_name: str
    namespace: str
    state: Literal["pending", "ready", "degraded", "failed", "stopped", "unavailable"]
    reason: NotRequired[str]
    active_instances: int
    affected_instances: int
    resource_kind: str


class DeploymentLog(TypedDict):
    """The last lines of a service's copies."""

    service_name: str
    available: bool
    message: NotRequired[str]
    entries: list[Text]


class Token(TypedDict):
    """A service's new token."""

    service: str
    token: str


# --- jobs -----------------------------------------------------------------------------------------


class Entry(TypedDict):
    """A job as OSCAR's clients read it."""

    status: Literal["Pending", "Running", "Succeeded", "Failed", "Unknown", "Suspended"]
    creation_time: str
    start_time: NotRequired[str]
    finish_time: NotRequired[str]


class Entries(TypedDict):
    """A page of a service's jobs, by their names."""

    jobs: dict[str, Entry]
    next_page: NotRequired[str]
    remaining_jobs: NotRequired[int]


class Call(TypedDict):
    """A call of a service."""

    timestamp: str
    status: int
    latency: str
    client_ip: str
    method: str
    path: str
    user: str
    raw: str


class Calls(TypedDict):
    """The newest calls."""

    logs: list[Call]


class Job(TypedDict):
    """A job, wherever it runs."""

    id: str
    service: str
    state: str
    target: NotRequired[str]
    attempt: int
    accepted: str
    started: NotRequired[str]
    ended: NotRequired[str]
    exit_code: NotRequired[int]
    reason: NotRequired[str]
    event: Things


class Jobs(TypedDict):
    """A page of jobs, the newest first."""

    jobs: list[Job]
    next_page: NotRequired[str]


class Detail(Job):
    """A job with its way in time and its attempts."""

    timeline: list[Things]


class Made(TypedDict):
    """The new job's name."""

    job: str


class Redriven(TypedDict):
    """New jobs in the place of dead ones; `more` says that there are others."""

    jobs: list[str]
    more: bool


class Decision(TypedDict):
    """A placement, with every target and why it was not."""

    version: int
    service: str
    policy: str
    target: str
    reason: str
    candidates: list[Things]


class Explained(TypedDict):
    """A job's decisions by attempt, or the one that a job would get now."""

    service: str
    job: str
    decisions: list[Decision]
    actual: Things
    constraints: Things


class Compared(TypedDict):
    """What a policy would have done; times and costs are sums."""

    policy: str
    since: float
    jobs: int
    comparisons: list[Things]
    ended: list[Things]
    left_out: dict[str, int]


class Estimates(TypedDict):
    """What was learned from runs."""

    runs: list[Things]
    targets: list[Things]
    spent: dict[str, Text]


class Targets(TypedDict):
    """Where jobs may run, how many run and wait there, and how many services are on the way."""

    targets: list[Things]


class Cost(TypedDict):
    """What jobs cost at list prices."""

    start: str
    end: str
    currency: Literal["USD"]
    total: str
    items: list[Things]
    assumptions: list[str]


# --- buckets and the rest -------------------------------------------------------------------------


class BucketIn(TypedDict):
    """A bucket, and who may look into it."""

    bucket_name: str
    visibility: NotRequired[Literal["", "private", "restricted", "public"]]
    allowed_users: NotRequired[list[str]]


class Bucket(TypedDict):
    """A bucket as it is."""

    bucket_name: str
    visibility: str
    allowed_users: list[str]
    owner: str
    metadata: Text


class Contents(Bucket):
    """A bucket with a page of its objects."""

    objects: list[Things]
    next_page: NotRequired[str]
    is_truncated: bool
    returned_items: int


class PresignIn(TypedDict):
    """One operation on one object; the time in seconds, a week at most."""

    object_key: str
    operation: Literal["upload", "download"]
    expires_in: NotRequired[int]
    content_type: NotRequired[str]


class Presigned(TypedDict):
    """What does it without credentials."""

    url: str
    method: Literal["GET", "PUT"]
    expires_at: str


class VolumeIn(TypedDict):
    """A volume; its size is a quantity of Kubernetes."""

    name: str
    size: str


class QuotaIn(TypedDict):
    """What changes of a quota: null takes a limit away, "" leaves it."""

    cpu: NotRequired[str | float | None]
    memory: NotRequired[str | int | None]
    ephemeral_storage: NotRequired[str | int | None]
    gpu: NotRequired[str | int | None]
    jobs: NotRequired[str | int | None]
    volumes: NotRequired[Things]
    minio: NotRequired[Things]
    money: NotRequired[Things]


class Limit(TypedDict):
    """Of something that is used; without `max` as much as there is."""

    max: NotRequired[int]
    used: int


class Quota(TypedDict):
    """How much a user may have, and has: cpu in thousandths of a core, sizes in bytes."""

    user_id: str
    resources: dict[str, Limit]
    volumes: NotRequired[Things]
    minio: NotRequired[Things]
    money: NotRequired[Things]


class FederationIn(TypedDict):
    """Members of a service's federation, and how they are reached."""

    members: list[Things]
    update: NotRequired[list[Things]]
    clusters: NotRequired[Things]
    storage_providers: NotRequired[Things]
    delete: NotRequired[bool]


class Federation(TypedDict):
    """How members are joined; null for none."""

    topology: Literal["none", "star", "mesh"]
    members: list[Things] | None


class Info(TypedDict):
    """Which manager this is."""

    version: str
    git_commit: str
    architecture: str
    kubernetes_version: str


class Config(TypedDict):
    """What a client must know; the keys of the object store are the caller's own."""

    config: Things
    minio_provider: Things
    allowed_image_repositories: list[str]


class Images(TypedDict):
    """Repositories that images may come from; none for any."""

    allowed_image_repositories: list[str]


class Status(TypedDict):
    """How much room there is: cpu in thousandths of a core, memory in bytes."""

    cluster: Things
    oscar: Things
    minio: dict[str, int]


class Metrics(TypedDict):
    """All services together."""

    start: str
    end: str
    totals: Things
    sources: list[Text]


class Breakdown(TypedDict):
    """By service, user or country."""

    start: str
    end: str
    group_by: str
    items: list[Things]


@dataclass(frozen=True, slots=True)
class _Said:
    """What a route takes and gives: types, and an example of what it takes."""

    takes: Any = None
    gives: Any = None
    example: Any = None


_SERVICE: Final = {
    "name": "shout",
    "image": "busybox",
    "memory": "64Mi",
    "script": 'tr a-z A-Z < "$INPUT_FILE_PATH"',
    "input": [{"storage_provider": "minio", "path": "words/in"}],
}
_BUCKET: Final = {"bucket_name": "words", "visibility": "restricted", "allowed_users": ["ann"]}
_PRESIGN: Final = {"object_key": "in/a.txt", "operation": "upload", "expires_in": 900}
_MEMBER: Final = {"type": "oscar", "cluster_id": "far", "service_name": "shout", "priority": 0}
_FEDERATION: Final = _Said(FederationIn, Federation, {"members": [_MEMBER]})
_JSON: Final = "application/json"
_ONE: Final = "/system/services/{name}"
_V1: Final = "/api/v1"

_ROUTES: Final[Mapping[str, _Said]] = {
    "POST /system/services": _Said(ServiceIn, None, _SERVICE),
    "PUT /system/services": _Said(ServiceIn, None, _SERVICE),
    "GET /system/services": _Said(gives=list[ServiceOut]),
    f"GET {_ONE}": _Said(gives=ServiceOut),
    f"GET {_ONE}/deployment": _Said(gives=Deployment),
    f"GET {_ONE}/deployment/logs": _Said(gives=DeploymentLog),
    f"POST {_ONE}/start": _Said(gives=Deployment),
    f"POST {_ONE}/stop": _Said(gives=Deployment),
    f"POST {_ONE}/restart": _Said(gives=Deployment),
    "GET /system/logs": _Said(gives=Calls),
    "GET /system/logs/{name}": _Said(gives=Entries),
    "POST /system/buckets": _Said(BucketIn, None, _BUCKET),
    "PUT /system/buckets": _Said(BucketIn, None, _BUCKET),
    "GET /system/buckets": _Said(gives=list[Bucket]),
    "GET /system/buckets/{name}": _Said(gives=Contents),
    "POST /system/buckets/{name}/presign": _Said(PresignIn, Presigned, _PRESIGN),
    "POST /system/volumes": _Said(VolumeIn, Things, {"name": "data", "size": "1Gi"}),
    "GET /system/volumes": _Said(gives=list[Things]),
    "GET /system/volumes/{name}": _Said(gives=Things),
    "GET /system/quotas/user": _Said(gives=Quota),
    "GET /system/quotas/user/{name}": _Said(gives=Quota),
    "PUT /system/quotas/user/{name}": _Said(QuotaIn, Quota, {"cpu": "4", "memory": "8Gi"}),
    "GET /system/federation/{name}": _Said(gives=Federation),
    "POST /system/federation/{name}": _FEDERATION,
    "PUT /system/federation/{name}": _FEDERATION,
    "DELETE /system/federation/{name}": _FEDERATION,
    "GET /system/info": _Said(gives=Info),
    "GET /system/config": _Said(gives=Config),
    "PUT /system/config": _Said(Images, Images, {"allowed_image_repositories": ["ghcr.io/me"]}),
    "GET /system/status": _Said(gives=Status),
    "GET /system/metrics": _Said(gives=Metrics),
    "GET /system/metrics/breakdown": _Said(gives=Breakdown),
    "GET /system/metrics/{name}": _Said(gives=Things),
    f"GET {_V1}/jobs": _Said(gives=Jobs),
    f"GET {_V1}/jobs/{{job}}": _Said(gives=Detail),
    f"GET {_V1}/jobs/{{job}}/decision": _Said(gives=Explained),
    f"POST {_V1}/jobs/{{job}}/cancel": _Said(gives=Job),
    f"POST {_V1}/jobs/{{job}}/replay": _Said(gives=Made),
    f"GET {_V1}/dead-letters": _Said(gives=Jobs),
    f"POST {_V1}/dead-letters/redrive": _Said(gives=Redriven),
    f"POST {_V1}/dead-letters/{{job}}/redrive": _Said(gives=Made),
    f"GET {_V1}/services/{{name}}/plan": _Said(gives=Decision),
    f"GET {_V1}/services/{{name}}/decision": _Said(gives=Explained),
    f"POST {_V1}/services/{{name}}/token": _Said(gives=Token),
    f"GET {_V1}/policies/compare": _Said(gives=Compared),
    f"GET {_V1}/estimates": _Said(gives=Estimates),
    f"GET {_V1}/targets": _Said(gives=Targets),
    f"GET {_V1}/cost": _Said(gives=Cost),
}


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with the shapes of bodies."""
    from pydantic import TypeAdapter  # noqa: PLC0415  FastAPI has it, and it is asked for seldom

    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})

    def schema(shape: Any) -> dict[str, Any]:
        made = TypeAdapter(shape).json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(made.pop("$defs", {}))
        if (name := made.get("title")) is None:
            return made
        schemas[name] = made
        return {"$ref": f"#/components/schemas/{name}"}

    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            said = _ROUTES.get(f"{method.upper()} {path}", _Said())
            if said.takes is not None:
                body = {"schema": schema(said.takes), "example": said.example}
                operation["requestBody"] = {"required": True, "content": {_JSON: body}}
            if said.gives is not None:
                content = _success(operation).setdefault("content", {})
                content[_JSON] = {"schema": schema(said.gives)}
    return document


def _success(operation: dict[str, Any]) -> dict[str, Any]:
    """The answer that is described with a body."""
    found: dict[str, Any] = next(
        one for status, one in operation["responses"].items() if status.startswith("2")
    )
    return found
