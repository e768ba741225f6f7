"""What S3 refuses in a bucket's notifications and the emulator behind us lets through."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

Rule = Mapping[str, Any]
Policy = Mapping[str, Any]

_SERVICE: Final = "s3.amazonaws.com"
_ACTIONS: Final[Mapping[str, str]] = {"lambda": "lambda:InvokeFunction", "sqs": "sqs:SendMessage"}
_AMBIGUOUS: Final = (
    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the "
    "prefixes are overlapping for the same event type."
)


def ambiguous(rules: Sequence[Rule]) -> str:
    """AWS's message when one object could match two rules for one kind of event, else ""."""
    return _AMBIGUOUS if any(itertools.starmap(_overlap, itertools.combinations(rules, 2))) else ""


def unreachable(rules: Iterable[Rule], policy_of: Callable[[str, str], Policy | None]) -> str:
    """AWS's message when S3 may not send to a rule's function or queue, else "".

    `policy_of` gives the resource policy of a target by type and ARN, None when it is not there.
    """
    refused = [
        str(rule["arn"])
        for rule in rules
        if rule["type"] in _ACTIONS
        and not grants(policy_of(rule["type"], rule["arn"]), _ACTIONS[rule["type"]], _SERVICE)
    ]
    if not refused:
        return ""
    return "Unable to validate the following destination configurations: " + ", ".join(refused)


def grants(policy: Policy | None, action: str, service: str) -> bool:
    """True when a resource policy allows an action to a service; conditions are not looked at."""
    statements = (policy or {}).get("Statement") or ()
    listed = [statements] if isinstance(statements, Mapping) else statements
    return any(
        one.get("Effect") == "Allow"
        and _names(one.get("Action"), action)
        and _is_for(one.get("Principal"), service)
        for one in listed
    )


def _names(patterns: object, action: str) -> bool:
    return any(fnmatch.fnmatchcase(action.lower(), one.lower()) for one in _texts(patterns))


def _is_for(principal: object, service: str) -> bool:
    if isinstance(principal, Mapping):
        return service in _texts(principal.get("Service")) or "*" in _texts(principal.get("AWS"))
    return "*" in _texts(principal)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(one) for one in value] if isinstance(value, list) else []


def _overlap(one: Rule, other: Rule) -> bool:
    shared = any(_same_event(a, b) for a in one["events"] for b in other["events"])
    prefixes = one["filter_prefix"] or "", other["filter_prefix"] or ""
    suffixes = one["filter_suffix"] or "", other["filter_suffix"] or ""
    return shared and _one_starts_the_other(*prefixes) and _one_ends_the_other(*suffixes)


def _one_starts_the_other(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _one_ends_the_other(one: str, other: str) -> bool:
    return one.endswith(other) or other.endswith(one)


def _same_event(one: str, other: str) -> bool:
    """`s3:ObjectCreated:*` and `s3:ObjectCreated:Put` name an event in common."""
    return fnmatch.fnmatchcase(one, other) or fnmatch.fnmatchcase(other, one)
