"""Grammar of the blocks inside an OSCAR service."""

from __future__ import annotations

from typing import Final

from bridge.fdl._kinds import Amount, Choice, Flag, SecretText, Text, Whole
from bridge.fdl._records import Field, ListOf, MapOf, Record
from bridge.fdl.options import (
    Expose,
    Federation,
    Kserve,
    KserveInference,
    KserveLlmInference,
    Replica,
    Synchronous,
    Volume,
)

_PORTS: Final = ListOf(Whole("oscar.port"), lone=True)
_VARIABLE: Final = r"[^=\x00\s]+"
_A_VARIABLE: Final = "a name of a variable"

ENVIRONMENT: Final = Record(
    "environment",
    "What the script finds in its environment.",
    (
        Field(
            "variables",
            MapOf(Text(any_scalar=True), _VARIABLE, _A_VARIABLE),
            "values that anyone may see",
            aliases=("Variables",),
        ),
        Field(
            "secrets",
            MapOf(SecretText(), _VARIABLE, _A_VARIABLE),
            "values that are never shown",
            aliases=("Secrets",),
        ),
    ),
)
SYNC: Final = Record(
    "synchronous",
    "Warm copies that answer synchronous calls.",
    (
        Field("min_scale", Whole(), "copies that are always there"),
        Field("max_scale", Whole(), "most copies; 0 means no bound"),
    ),
    make=Synchronous,
)
REPLICA: Final = Record(
    "replica",
    "Another place that may run a service's jobs.",
    (
        Field("type", Choice(("oscar", "endpoint")), "a service of a cluster, or a URL"),
        Field("cluster_id", Text(), "name of the cluster"),
        Field("service_name", Text(), "name of the service there"),
        Field("url", Text(), "URL of an endpoint"),
        Field("ssl_verify", Flag(), "check the server's certificate"),
        Field("priority", Whole(), "lower goes first; above 100 is never used"),
        Field("headers", MapOf(SecretText()), "headers of the request"),
    ),
    make=Replica,
)
FEDERATION: Final = Record(
    "federation",
    "A group of services that share their jobs.",
    (
        Field("group_id", Text(), "name of the group"),
        Field("topology", Choice(("none", "star", "mesh")), "who knows whom"),
        Field(
            "delegation",
            Choice(("static", "random", "load-based", "topsis")),
            "how the member that runs a job is chosen",
        ),
        Field("rescheduler_threshold", Whole(), "seconds that a job waits before it is delegated"),
        Field("members", ListOf(REPLICA), "the other places"),
    ),
    make=Federation,
)
EXPOSE: Final = Record(
    "expose",
    "A service that is a server of its own.",
    (
        Field("min_scale", Whole(), "fewest copies"),
        Field("max_scale", Whole(), "most copies"),
        Field("api_port", _PORTS, "ports of the container; 0 means not exposed"),
        Field("cpu_threshold", Whole(), "percentage of CPU above which a copy is added"),
        Field("rewrite_target", Flag(), "take the public path away from requests"),
        Field("nodePort", _PORTS, "ports of the node", attr="node_port", aliases=("node_port",)),
        Field("default_command", Flag(), "run the image's own command, not the script"),
        Field("set_auth", Flag(), "ask for a name and a password"),
        Field("auth_type", Text(), "how callers prove who they are"),
        Field("health_path", Text(), "path that answers when the server is ready"),
        Field("probe_mode", Text(), "how readiness is asked"),
    ),
    make=Expose,
)
VOLUME: Final = Record(
    "volume",
    "A managed volume.",
    (
        Field("name", Text(), "name of the volume; the service's name when it is made"),
        Field("size", Amount("memory"), "size of a volume to make"),
        Field("mount_path", Text(), "absolute path in the container", required=True),
        Field("lifecycle_policy", Choice(("delete", "retain")), "what happens with the service"),
    ),
    make=Volume,
)
_INFERENCE: Final = Record(
    "kserve_inference",
    "Serving of a model in a known format.",
    (
        Field("model_format", Text(), "format of the model", required=True),
        Field("runtime", Text(), "serving runtime"),
    ),
    make=KserveInference,
)
_LLM_INFERENCE: Final = Record(
    "kserve_llm_inference",
    "Serving of a language model.",
    (Field("runtime_image", Text(), "image that serves the model"),),
    make=KserveLlmInference,
)
KSERVE: Final = Record(
    "kserve",
    "A KServe inference service.",
    (
        Field("type", Text(), "inference or llm_inference", required=True),
        Field("storage_uri", Text(), "where the model is", required=True),
        Field("inference", _INFERENCE, "for type inference"),
        Field("llm_inference", _LLM_INFERENCE, "for type llm_inference"),
        Field("api_version", Text(), "version of the inference protocol"),
        Field("min_scale", Whole(), "fewest copies"),
        Field("max_scale", Whole(), "most copies"),
        Field("cpu", Amount("cpu"), "cores of a copy"),
        Field("memory", Amount("memory"), "memory of a copy"),
        Field("args", ListOf(Text(), lone=True), "arguments of the server"),
        Field("env", MapOf(Text(any_scalar=True), _VARIABLE, _A_VARIABLE), "its environment"),
        Field("enable_gpu", Flag(), "a copy needs a GPU"),
        Field("set_auth", Flag(), "ask callers for a token"),
    ),
    make=Kserve,
)
