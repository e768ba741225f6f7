"""Who runs an attempt of a job: one small object in the work bucket, written under a condition.

S3 takes a conditional write from one of many writers only, so that of many runs of the same attempt
(the same event five times, a queue that delivers twice, a dispatcher that was restarted) one goes
on. The object outlives the run: where a job was handed over to Batch, it says to which Batch job.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from bridge.errors import NotFoundError, PermanentError, TargetUnavailable
from bridge.secret import Secret
from bridge.storage import _native
from bridge.storage._errors import Subject, native_error
from bridge.storage._settings import S3Settings, explicit_credentials, s3_settings

__all__ = ["Claim", "Claims"]

_PROVIDER: Final = "s3.default"
_TRIES: Final = 5
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Claim(NamedTuple):
    """What the object says.

    `holder` names the run, and nobody else may begin before `until` (seconds since the epoch).
    `handed` says that the job is Batch's; `batch_job` is its id there, "" until it is known.
    `run` is the report of the run that handed it over. `again` says that there was a holder before
    this one, who may have left something half done.
    """

    holder: str
    until: float
    handed: bool = False
    batch_job: str = ""
    run: Mapping[str, Any] = _NOTHING
    again: bool = False


class Claims:
    """The claims below `url` (s3://bucket/prefix/). Raises what a `Store` raises.

    Without `settings` and `secrets` (FDL's names for an `s3` provider) they are the ambient ones.
    """

    def __init__(
        self,
        url: str,
        settings: Mapping[str, Any] = _NOTHING,
        secrets: Mapping[str, str | Secret] = _NOTHING,
    ) -> None:
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not url.startswith("s3://") or not self._bucket:
            raise PermanentError(f"not an s3://bucket/prefix/ URL: {url}")
        self._prefix = prefix.rstrip("/")
        found: S3Settings = s3_settings(_PROVIDER, settings)
        credentials = explicit_credentials(_PROVIDER, secrets)
        self._client = _native.build(found, credentials, self._bucket)
        self._shared = bool(found.endpoint)

    def take(self, job: str, attempt: int, holder: str, until: float) -> Claim:
        """The claim that stands: the caller's own, or that of the one who was first.

        The same holder takes its claim again, and so does anybody when the holder's time is over;
        a hand-over that has stopped half-way comes with it. A finished one is nobody's to take.
        """
        for _ in range(_TRIES):
            if self._write(job, attempt, Claim(holder, until), "create"):
                return Claim(holder, until)
            found = self._read(job, attempt)
            if found is None:
                continue  # it was let go of in between
            theirs, etag = found
            if theirs.batch_job or (theirs.holder != holder and theirs.until > time.time()):
                return theirs
            mine = theirs._replace(holder=holder, until=until, again=True)
            if self._write(job, attempt, mine, etag):
                return mine
        raise TargetUnavailable(f"cannot claim job {job}: others are faster")

    def keep(self, job: str, attempt: int, claim: Claim) -> None:
        """Change a claim; only its holder may."""
        self._write(job, attempt, claim, "overwrite")

    def read(self, job: str, attempt: int) -> Claim | None:
        """The claim as it stands, None when there is none."""
        found = self._read(job, attempt)
        return found[0] if found else None

    def let_go(self, job: str, attempt: int) -> None:
        """Give a claim back, so that the attempt may begin again at once."""
        path = self._path(job, attempt)
        try:
            _native.delete(self._client, path)
        except _native.NATIVE_ERRORS as error:
            raise native_error(error, self._subject("delete", path)) from None

    def _read(self, job: str, attempt: int) -> tuple[Claim, str] | None:
        path = self._path(job, attempt)
        try:
            result = obstore.get(self._client, path)
            body, etag = bytes(result.bytes()), result.meta["e_tag"] or ""
        except _native.NATIVE_ERRORS as error:
            failure = native_error(error, self._subject("read", path))
            if isinstance(failure, NotFoundError):
                return None
            raise failure from None
        return _parse(body), etag

    def _write(self, job: str, attempt: int, claim: Claim, condition: str) -> bool:
        """False when the condition (create, overwrite, or an ETag) does not hold."""
        path = self._path(job, attempt)
        body = json.dumps({**claim._asdict(), "run": dict(claim.run)}).encode()
        mode: Any = condition if condition in ("create", "overwrite") else {"e_tag": condition}
        try:
            obstore.put(self._client, path, body, mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return False
        except (FileNotFoundError, ValueError, BaseError) as error:
            failure = native_error(error, self._subject("write", path))
            # With an ETag, an object that went away is one that somebody let go of.
            if isinstance(failure, NotFoundError) and isinstance(mode, dict):
                return False
            raise failure from None
        return True

    def _path(self, job: str, attempt: int) -> str:
        key = f"{self._prefix}/{job}.{attempt}.json".lstrip("/")
        return f"{self._bucket}/{key}" if self._shared else key

    def _subject(self, doing: str, path: str) -> Subject:
        key = path.removeprefix(f"{self._bucket}/") if self._shared else path
        return Subject(_PROVIDER, doing, self._bucket, key)


def _parse(body: bytes) -> Claim:
    """A claim that cannot be read is nobody's."""
    with suppress(ValueError, TypeError, AttributeError, KeyError):
        found = json.loads(body)
        return Claim(
            holder=str(found["holder"]),
            until=float(found["until"]),
            handed=bool(found.get("handed")),
            batch_job=str(found.get("batch_job") or ""),
            run=dict(found.get("run") or {}),
            again=bool(found.get("again")),
        )
    return Claim("", 0.0)
