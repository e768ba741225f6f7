"""Whether a failed attempt is tried again."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.local.aws.batch.model import Attempt, ExitRule


def again(attempt: Attempt, done: int, allowed: int, rules: Iterable[ExitRule]) -> bool:
    """True when another attempt follows. The first rule that matches decides; without, retry."""
    if done >= allowed:
        return False
    for rule in rules:
        if _matches(rule, attempt):
            return rule.action == "RETRY"
    return True


def _matches(rule: ExitRule, attempt: Attempt) -> bool:
    code = "" if attempt.exit_code is None else str(attempt.exit_code)
    return (
        _fits(rule.exit_code, code)
        and _fits(rule.reason, attempt.reason)
        and _fits(rule.status_reason, attempt.status_reason)
    )


def _fits(pattern: str, text: str) -> bool:
    """Letters as they are, in any case; a * at the end stands for the rest."""
    if not pattern:
        return True
    if pattern.endswith("*"):
        return text.lower().startswith(pattern[:-1].lower())
    return text.lower() == pattern.lower()
