"""Job definitions and submissions → what to run, with AWS's rules checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bridge.local.aws._limits import BatchLimits
from bridge.local.aws.batch.model import ExitRule, Fault, Json, RunPlan

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_REFERENCE: Final = re.compile(r"Ref::([A-Za-z0-9_-]+)")
_EXIT_CODE: Final = re.compile(r"[0-9]*\*?")
_PATTERN: Final = re.compile(r"[A-Za-z0-9.:\s]*\*?")
_RESERVED: Final = "AWS_BATCH"
_OTHER_SHAPES: Final = ("nodeProperties", "ecsProperties", "eksProperties")


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
    if body.get("type") != "container":
        raise Fault(f"Job definition type {body.get('type')!r} cannot be run; use 'container'")
    properties = body.get("containerProperties") or {}
    if not properties.get("image"):
        raise Fault("containerProperties.image is required")
    if properties.get("secrets"):
        raise Fault("containerProperties.secrets are not resolved by the local endpoint")
    plan = make_plan(body, {}, {})
    _check_run(plan, limits, least_timeout)
    if "FARGATE" in plan.platforms:
        _check_fargate(properties, plan)


def check_submission(plan: RunPlan, limits: BatchLimits, least_timeout: int) -> None:
    """A Fault when what was submitted breaks a limit."""
    _check_run(plan, limits, least_timeout)


def make_plan(definition: Json, submission: Json, parameters: Mapping[str, str]) -> RunPlan:
    """The definition with the submission's overrides and its parameters filled in."""
    base = definition.get("containerProperties") or {}
    over = submission.get("containerOverrides") or {}
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


def _check_run(plan: RunPlan, limits: BatchLimits, least_timeout: int) -> None:
    if plan.attempts not in limits.attempts:
        raise Fault(f"attempts must be {limits.attempts.min} to {limits.attempts.max}")
    if len(plan.rules) > limits.exit_rules:
        raise Fault(f"evaluateOnExit must have at most {limits.exit_rules} entries")
    if plan.timeout is not None and plan.timeout < least_timeout:
        raise Fault(f"attemptDurationSeconds must be at least {least_timeout}")
    if plan.vcpus <= 0:
        raise Fault("VCPU must be above 0")
    if plan.memory < 4:
        raise Fault("Container memory must be set, to 4 MiB or more")


def _check_fargate(properties: Json, plan: RunPlan) -> None:
    if not properties.get("executionRoleArn"):
        raise Fault("executionRoleArn is required for jobs on Fargate")
    if plan.gpus:
        raise Fault("GPU is not available on Fargate")


def _number(value: Any, what: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise Fault(f"{what} must be a number, not {value!r}") from error
