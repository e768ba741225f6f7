"""Which new objects start a service, as patterns of EventBridge."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.fdl.model import Document, Service
from cdk.limits import most
from cdk.selection import aws_paths

__all__ = ["Trigger", "triggers_of"]

# Letters that have a meaning in EventBridge's wildcards.
_ESCAPES = str.maketrans({"\\": "\\\\", "*": "\\*"})


@dataclass(frozen=True, slots=True)
class Trigger:
    """New objects of a bucket whose key starts and ends as one of the pairs; "" means any.

    It lets through all that the service takes and maybe more: the dispatcher has the last word.
    """

    bucket: str
    keys: tuple[tuple[str, str], ...]

    @property
    def pattern(self) -> dict[str, Any]:
        """The event pattern, within EventBridge's length."""
        prefixes = dict.fromkeys(prefix for prefix, _ in self.keys)
        exact = [_matcher(prefix, suffix) for prefix, suffix in self.keys]
        wide: list[Mapping[str, str]] = [{"prefix": prefix} for prefix in prefixes]
        for matchers, any_key in ((exact, ("", "") in self.keys), (wide, "" in prefixes)):
            found = self._pattern([] if any_key else matchers)
            if len(json.dumps(found)) <= most("events.pattern"):
                return found
        return self._pattern([])

    def _pattern(self, matchers: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        detail: dict[str, Any] = {"bucket": {"name": [self.bucket]}}
        if matchers:
            detail["object"] = {"key": list(matchers)}
        return {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail}


def triggers_of(service: Service, document: Document) -> tuple[Trigger, ...]:
    """One trigger for each bucket of AWS's S3 that a service has inputs in."""
    buckets: dict[str, dict[tuple[str, str], None]] = {}
    for path in aws_paths(service.inputs, document):
        pairs = buckets.setdefault(path.bucket, {})
        for prefix in path.prefix or ("",):
            start = f"{path.folder}/{prefix}" if path.folder else prefix
            for suffix in path.suffix or ("",):
                pairs[start, suffix] = None
    return tuple(Trigger(bucket, tuple(sorted(keys))) for bucket, keys in sorted(buckets.items()))


def _matcher(prefix: str, suffix: str) -> Mapping[str, str]:
    if not suffix:
        return {"prefix": prefix}
    if not prefix:
        return {"suffix": suffix}
    return {"wildcard": f"{prefix.translate(_ESCAPES)}*{suffix.translate(_ESCAPES)}"}
