"""What SCAR took and this project does otherwise, mended in one entry of `functions.aws`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bridge.operate.scar._old import Plain, texts

__all__ = ["tidy"]

# Made by SCAR itself, and of no use to anybody else.
_COMPUTED: Final = ("arn", "config_path", "handler", "supervisor", "tags")
_OF_SCAR: Final = frozenset({"API_GATEWAY_ID", "FDL", "IMAGE_ID", "SUPERVISOR_TYPE"})
_UDOCKER: Final = "UDOCKER_"
_LAYER: Final = ":layer:faas-supervisor"
_RETIRED: Final = ("c1.", "cc2.", "cr1.", "g2.", "hi1.", "hs1.", "m1.", "m2.", "m3.", "t1.")
_SECTIONS: Final = ("iam", "api_gateway", "cloudwatch", "batch", "s3", "ecr")
_DEFAULTS: Final = frozenset({"boto_profile", "region"})

Say = Callable[[str], None]


def tidy(entry: Plain, say: Say) -> Plain:
    """The entry as `oscar-bridge validate` takes it, where that is certain; `say` hears of it."""
    made = {key: value for key, value in entry.items() if value is not None}
    function = made["lambda"] = dict(made.get("lambda") or {})
    name = function.get("name", "")
    for section in _SECTIONS:
        if isinstance(function.get(section), dict) and section not in made:
            made[section] = function.pop(section)
    _container(function)
    _packaging(function, lambda text: say(f"{name}: {text}"))
    _inputs(function, lambda text: say(f"{name}: {text}"))
    _variables(function)
    _machines(made, lambda text: say(f"{name}: {text}"))
    _access(made, lambda text: say(f"{name}: {text}"))
    return {key: value for key, value in made.items() if value != {}}


def _container(function: Plain) -> None:
    """SCAR before 4 had the image beside the name."""
    container = dict(function.get("container") or {})
    for key in ("image", "image_file"):
        if key in function:
            container.setdefault(key, function.pop(key))
    for key in [key for key in container if key.startswith("timeout_threshold") and '"' in key]:
        container.setdefault("timeout_threshold", container.pop(key))
    if "time" in function:
        function.setdefault("timeout", function.pop("time"))
    if container:
        function["container"] = container


def _packaging(function: Plain, say: Say) -> None:
    for key in _COMPUTED:
        function.pop(key, None)
    runtime = function.pop("runtime", "image")
    if runtime != "image":
        say(f"runtime {runtime} is left out: functions are container images here")
    layers = texts(function.pop("layers", None))
    kept = [arn for arn in layers if _LAYER not in arn]
    if kept:
        function["layers"] = kept
        say("its layers are kept, but AWS gives layers to zip functions only")


def _inputs(function: Plain, say: Say) -> None:
    inputs = [one for one in function.get("input") or () if isinstance(one, dict)]
    kept = [one for one in inputs if _kind(one) == "s3"]
    for one in inputs:
        if one not in kept:
            where = f"{one.get('storage_provider')}:{one.get('path')}"
            say(f"the input {where} is left out: under SCAR it started nothing (only S3 does)")
    if "input" in function:
        function["input"] = kept


def _kind(path: Plain) -> str:
    return str(path.get("storage_provider", "")).partition(".")[0].lower()


def _variables(function: Plain) -> None:
    """Leave out what SCAR set for its own supervisor."""
    environment = function.get("environment")
    found = environment.get("Variables") if isinstance(environment, dict) else None
    if not isinstance(found, dict):
        return
    own = {k: v for k, v in found.items() if k not in _OF_SCAR and not k.startswith(_UDOCKER)}
    function.pop("environment")
    if own:
        function["environment"] = {"Variables": own}


def _machines(made: Plain, say: Say) -> None:
    batch = made.get("batch")
    compute = batch.get("compute_resources") if isinstance(batch, dict) else None
    if not isinstance(compute, dict):
        return
    types = texts(compute.get("instance_types"))
    retired = [one for one in types if one.startswith(_RETIRED)]
    if retired:
        compute["instance_types"] = [one for one in types if one not in retired] or ["optimal"]
        say(f"instance types {', '.join(retired)} are left out: AWS has retired them")


def _access(made: Plain, say: Say) -> None:
    role = made.get("iam")
    if isinstance(role, dict) and not role.get("role"):
        made.pop("iam")
    elif isinstance(role, dict):
        say("its role is kept; without iam.role it gets one of its own with the least permissions")
    front = made.get("api_gateway")
    if isinstance(front, dict) and not front.get("name"):
        made.pop("api_gateway")
    elif front:
        say("its open HTTP API becomes POST /run/<service> of the shared one, with a token")
    for key in ("cloudwatch", "s3", "ecr"):
        if isinstance(made.get(key), dict) and _is_default(made[key]):
            made.pop(key)


def _is_default(section: dict[str, Any]) -> bool:
    return not section.keys() - _DEFAULTS
