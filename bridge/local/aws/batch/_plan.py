"""Job definitions and submissions → what to run, with AWS's rules checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from bridge.fdl import fargate_sizes
from bridge.local.aws._limits import BatchLimits
from bridge.local.aws.batch._nodes import node_properties
from bridge.local.aws.batch.model import ExitRule, Fault, Group, Json, RunPlan

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_REFERENCE: Final = re.compile(r"Ref::([A-Za-z0-9_-]+)")
_EXIT_CODE: Final = re.compile(r"[0-9]*\*?")
_PATTERN: Final = re.compile(r"[A-Za-z0-9.:\s]*\*?")
_RESERVED: Final = "AWS_BATCH"
_OTHER_SHAPES: Final = ("ecsProperties", "eksProperties")


def check_name(name: Any, what: str) -> str:
    """A name that AWS takes, or a Fault."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Fault(
            f"{what} should match valid pattern: letters, digits, hyphens and underscores, at "
            "most 128, starting with a letter or digit"
        )
    return name


def check_definition(body: Json, limits: BatchLimits, least_timeout: int) -> None:
    """A Fault when a job definition would be refused or cannot be run here."""
    if len(json.dumps(body).encode()) > limits.definition_bytes:
        raise Fault(f"Job definition is larger than {limits.definition_bytes} bytes")
    for shape in _OTHER_SHAPES:
        if body.get(shape):
            raise Fault(f"{shape} cannot be run by the local endpoint; use containerProperties")
    kind = body.get("type")
    if kind not in {"container", "multinode"}:
        raise Fault(f"Job definition type {kind!r} cannot be run; use 'container' or 'multinode'")
    if kind == "multinode":
        for plan in make_group(body, {}, {}).plans:
            check_run(plan, limits, least_timeout)
        return
    properties = body.get("containerProperties") or {}
    if not properties.get("image"):
        raise Fault("containerProperties.image is required")
    plan = make_plan(body, {}, {})
    if "FARGATE" in plan.platforms:
        _check_fargate_properties(properties)
    try:
        check_run(plan, limits, least_timeout)
    except Fault as fault:
        raise Fault(f"Error executing request, Exception : {fault}") from fault


def make_plan(definition: Json, submission: Json, parameters: Mapping[str, str]) -> RunPlan:
    """The definition with the submission's overrides and its parameters filled in."""
    if submission.get("nodeOverrides"):
        raise Fault("nodeOverrides are for multi-node parallel jobs; use containerOverrides")
    base = definition.get("containerProperties") or {}
    over = submission.get("containerOverrides") or {}
    return _container_plan(base, over, (definition, submission), parameters)


def make_group(definition: Json, submission: Json, parameters: Mapping[str, str]) -> Group:
    """The nodes of a multi-node definition with the submission's overrides."""
    if submission.get("containerOverrides") or submission.get("arrayProperties"):
        raise Fault("Multi-node parallel jobs take nodeOverrides and can be no array")
    if "FARGATE" in (definition.get("platformCapabilities") or ()):
        raise Fault("Multi-node parallel jobs cannot run on Fargate")
    bases, overs, main = node_properties(definition, submission)
    both = (definition, submission)
    plans = [
        _container_plan(base, over, both, parameters)
        for base, over in zip(bases, overs, strict=True)
    ]
    # The time limit is the job's, which ends with its main node.
    own = (one if rank == main else replace(one, timeout=None) for rank, one in enumerate(plans))
    return Group(main, tuple(own))


def _container_plan(
    base: Json, over: Json, both: tuple[Json, Json], parameters: Mapping[str, str]
) -> RunPlan:
    definition, submission = both
    command = over.get("command") or base.get("command") or []
    needs = _requirements(base) | _requirements(over)
    retry = submission.get("retryStrategy") or definition.get("retryStrategy") or {}
    timeout = submission.get("timeout") or definition.get("timeout") or {}
    return RunPlan(
        image=base.get("image", ""),
        command=tuple(fill(word, parameters) for word in command),
        env=_environment(base) | _environment(over),
        vcpus=_number(needs.get("VCPU", 1), "VCPU"),
        memory=int(_number(needs.get("MEMORY", 0), "MEMORY")),
        gpus=int(_number(needs.get("GPU", 0), "GPU")),
        attempts=int(retry.get("attempts") or 1),
        rules=_rules(retry.get("evaluateOnExit") or ()),
        timeout=timeout.get("attemptDurationSeconds"),
        platforms=tuple(definition.get("platformCapabilities") or ("EC2",)),
        secrets=tuple((one["name"], one["valueFrom"]) for one in base.get("secrets") or ()),
    )


def fill(word: str, parameters: Mapping[str, str]) -> str:
    """A word of a command with each Ref::name that is known replaced."""
    return _REFERENCE.sub(lambda found: parameters.get(found[1], found[0]), word)


def _requirements(properties: Json) -> dict[str, Any]:
    """vCPU, memory and GPU from the old fields and from the new ones, which win."""
    old = {"VCPU": properties.get("vcpus"), "MEMORY": properties.get("memory")}
    new = {one["type"]: one["value"] for one in properties.get("resourceRequirements") or ()}
    return {key: value for key, value in (old | new).items() if value not in {None, ""}}


def _environment(properties: Json) -> dict[str, str]:
    found = {e["name"]: str(e.get("value", "")) for e in properties.get("environment") or ()}
    for name in found:
        if name.startswith(_RESERVED):
            raise Fault(f"Environment variable {name} cannot start with {_RESERVED}")
    return found


def _rules(entries: Sequence[Json]) -> tuple[ExitRule, ...]:
    rules = tuple(
        ExitRule(
            str(one.get("action", "")).upper(),
            str(one.get("onExitCode", "")),
            str(one.get("onReason", "")),
            str(one.get("onStatusReason", "")),
        )
        for one in entries
    )
    for rule in rules:
        if rule.action not in {"RETRY", "EXIT"}:
            raise Fault("evaluateOnExit action must be RETRY or EXIT")
        if not _EXIT_CODE.fullmatch(rule.exit_code):
            raise Fault(
                f"onExitCode {rule.exit_code!r} must be digits and at most one * at the end"
            )
        if not (_PATTERN.fullmatch(rule.reason) and _PATTERN.fullmatch(rule.status_reason)):
            raise Fault(
                "onReason and onStatusReason must be plain text with at most one * at the end"
            )
    return rules


def check_run(plan: RunPlan, limits: BatchLimits, least_timeout: int) -> None:
    """A Fault when what is to be run breaks a limit."""
    if plan.attempts not in limits.attempts:
        raise Fault(f"attempts must be {limits.attempts.min} to {limits.attempts.max}")
    if len(plan.rules) > limits.exit_rules:
        raise Fault(f"evaluateOnExit must have at most {limits.exit_rules} entries")
    if plan.timeout is not None and plan.timeout < least_timeout:
        raise Fault(f"attemptDurationSeconds must be at least {least_timeout}")
    if plan.vcpus <= 0:
        raise Fault("VCPU must be above 0")
    if plan.memory < limits.least_memory:
        raise Fault(f"Container memory must be set, to {limits.least_memory} MiB or more")
    if "FARGATE" in plan.platforms:
        _check_fargate_size(plan)


def _check_fargate_properties(properties: Json) -> None:
    if not properties.get("executionRoleArn"):
        raise Fault("executionRoleArn is required for jobs on Fargate")
    for name in ("vcpus", "memory"):
        if properties.get(name):
            text = f"{name} is not applicable for Fargate. Use resource requirements instead."
            raise Fault(text)
    if properties.get("privileged"):
        raise Fault("privileged is not applicable for Fargate.")


def _check_fargate_size(plan: RunPlan) -> None:
    if plan.gpus:
        raise Fault("GPU is not available on Fargate")
    if plan.memory not in fargate_sizes(plan.vcpus):
        size = f"{plan.vcpus:.2f} vCPU, {plan.memory} MiB"
        raise Fault(f"Fargate resource requirements ({size}) not valid.")


def _number(value: Any, what: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise Fault(f"{what} must be a number, not {value!r}") from error
