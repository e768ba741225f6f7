"""What was deployed when: the templates of each good apply, in the work bucket.

`deployments/<name>/<number>/manifest.json` and a template per stack. An entry is written once,
after everything it names stands; the manifest last, on the condition that it is new.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.deploy._faults import asked, code_of, unknown_to_endpoint
from bridge.deploy.model import Assembly, Stack
from bridge.errors import BridgeError, NotFoundError, PermanentError
from bridge.targets.aws.account import Account

__all__ = ["Entry", "History"]

_TAKEN: Final = frozenset({"412", "409", "PreconditionFailed", "ConditionalRequestConflict"})
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """One good apply. `digests` tell the templates of its stacks apart by their content.

    `at` is in seconds since the epoch, `restores` the entry that a rollback went back to, 0 for an
    apply.
    """

    number: int
    at: float
    by: str
    digests: Mapping[str, str]
    restores: int = 0

    @property
    def position(self) -> int:
        """The entry whose state this is."""
        return self.restores or self.number


class History:
    """The history of one deployment."""

    def __init__(self, account: Account, name: str) -> None:
        self._account = account
        self._root = f"deployments/{name}/"

    def entries(self) -> list[Entry]:
        """Oldest first; none where there is no bucket."""
        return [self._entry(number) for number in self._numbers()]

    def last(self) -> Entry | None:
        """The newest entry, None when there is none."""
        numbers = self._numbers()
        return self._entry(numbers[-1]) if numbers else None

    def write(self, stacks: tuple[Stack, ...], by: str, *, restores: int = 0) -> int:
        """Add an entry; its number, 0 where there is no bucket to write it in."""
        try:
            for _ in range(_TRIES):
                number = max(self._numbers(), default=0) + 1
                if self._write(number, stacks, by, restores):
                    return number
        except NotFoundError:
            return 0
        raise PermanentError(f"{self._root}: others write faster")

    def assembly(self, number: int, name: str, base: str) -> Assembly:
        """The stacks of an entry as they were wanted then."""
        told = self._read(f"{number:06d}/manifest.json")
        stacks = tuple(
            Stack(
                name=one["name"],
                template=self._read(f"{number:06d}/{one['name']}.template.json"),
                tags=one["tags"],
                protected=one["protected"],
            )
            for one in told["stacks"]
        )
        return Assembly(name, base, stacks)

    def _numbers(self) -> list[int]:
        s3, bucket = self._account.client("s3"), self._account.bucket
        try:
            with asked(self._account, "s3", f"s3://{bucket}/{self._root}"):
                pages = s3.get_paginator("list_objects_v2").paginate(
                    Bucket=bucket, Prefix=self._root
                )
                keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
        except NotFoundError:
            return []
        parts = [key.removeprefix(self._root).split("/") for key in keys]
        return sorted(int(one[0]) for one in parts if one[1:] == ["manifest.json"])

    def _entry(self, number: int) -> Entry:
        told = self._read(f"{number:06d}/manifest.json")
        return Entry(
            number=number,
            at=float(told["at"]),
            by=str(told["by"]),
            digests={one["name"]: one["digest"] for one in told["stacks"]},
            restores=int(told.get("restores", 0)),
        )

    def _write(self, number: int, stacks: tuple[Stack, ...], by: str, restores: int) -> bool:
        folder = f"{number:06d}"
        listed = [
            {"name": s.name, "digest": s.digest, "tags": dict(s.tags), "protected": s.protected}
            for s in stacks
        ]
        manifest = {"number": number, "at": time.time(), "by": by, "stacks": listed}
        for one in stacks:
            self._put(f"{folder}/{one.name}.template.json", one.template)
        try:
            self._put(f"{folder}/manifest.json", {**manifest, "restores": restores}, new=True)
        except BridgeError as error:
            if code_of(error.__cause__ or error) in _TAKEN:
                return False
            raise
        return True

    def _put(self, name: str, value: Mapping[str, Any], *, new: bool = False) -> None:
        s3, bucket, key = self._account.client("s3"), self._account.bucket, self._root + name
        body = json.dumps(value, ensure_ascii=False).encode()
        condition = {"IfNoneMatch": "*"} if new else {}
        try:
            with asked(self._account, "s3", f"s3://{bucket}/{key}"):
                s3.put_object(Bucket=bucket, Key=key, Body=body, **condition)
        except BridgeError as error:
            if not (new and unknown_to_endpoint(error.__cause__ or error)):
                raise
            self._put(name, value)

    def _read(self, name: str) -> Any:
        body = self._account.get(self._root + name)
        if body is None:
            raise NotFoundError(f"s3://{self._account.bucket}/{self._root}{name} is not there")
        return json.loads(body)
