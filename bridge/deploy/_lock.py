"""One apply at a time per deployment: a small object in the work bucket, written on a condition.

CloudFormation keeps two changes of one stack apart by itself; this keeps apart what is more than
one stack. Where there is no work bucket yet, or a store without conditional writes, there is no
lock.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

from bridge.deploy._faults import asked, code_of, unknown_to_endpoint
from bridge.deploy.watch import Watch
from bridge.errors import BridgeError, NotFoundError, TargetUnavailable
from bridge.targets.aws.account import Account

__all__ = ["locked"]

_LEASE: Final = 60.0
_LOOK: Final = 1.0
_PATIENCE: Final = 4 * 3600.0
_TAKEN: Final = frozenset({"412", "409", "PreconditionFailed", "ConditionalRequestConflict"})


class _Found(NamedTuple):
    """The lock as it stands; no etag when there is none."""

    etag: str = ""
    owner: str = ""
    who: str = ""
    host: str = ""
    pid: int = 0
    until: float = 0.0

    @property
    def over(self) -> bool:
        """Whether its holder is known to be gone."""
        if self.until <= time.time():
            return True
        return self.host == socket.gethostname() and not _runs(self.pid)


@contextmanager
def locked(
    account: Account, name: str, watch: Watch, *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[bool]:
    """Hold the lock of a deployment; the value is whether somebody else had it before.

    It is renewed as long as the block lasts, and it is over a minute after this process is killed,
    on the same machine at once.
    """
    lock = _Lock(account, f"deployments/{name}/lock.json")
    waited = lock.acquire(watch, sleep)
    try:
        yield waited
    finally:
        lock.release()


class _Lock:
    def __init__(self, account: Account, key: str) -> None:
        self._account = account
        self._key = key
        self._owner = uuid.uuid4().hex
        self._etag = ""
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, watch: Watch, sleep: Callable[[float], None]) -> bool:
        waited, limit = False, time.monotonic() + _PATIENCE
        while not self._try():
            found = self._read()
            if not waited and found.etag:
                watch.note(f"{found.who} is applying this deployment; waiting for the end of it")
            waited = True
            if time.monotonic() > limit:
                raise TargetUnavailable(f"{found.who} is still applying this deployment")
            sleep(_LOOK)
        if self._etag:
            self._thread = threading.Thread(target=self._renew, name="deploy-lock", daemon=True)
            self._thread.start()
        return waited

    def release(self) -> None:
        self._done.set()
        if self._thread is None:
            return
        self._thread.join()
        with suppress(BridgeError), self._asked():
            if self._read().owner == self._owner:
                bucket = self._account.bucket
                self._account.client("s3").delete_object(Bucket=bucket, Key=self._key)

    def _try(self) -> bool:
        """Whether it is ours now, or cannot be had by anybody."""
        found = self._read()
        if found.etag and not found.over:
            return False
        condition = {"IfMatch": found.etag} if found.etag else {"IfNoneMatch": "*"}
        try:
            self._etag = self._write(condition)
        except NotFoundError:
            return True  # no bucket
        except BridgeError as error:
            cause = error.__cause__ or error
            if unknown_to_endpoint(cause):
                return True
            if code_of(cause) in _TAKEN:
                return False
            raise
        return True

    def _write(self, condition: Mapping[str, str]) -> str:
        body = {
            "owner": self._owner,
            "who": f"{_user()} on {socket.gethostname()}",
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "until": time.time() + _LEASE,
        }
        with self._asked():
            made = self._account.client("s3").put_object(
                Bucket=self._account.bucket,
                Key=self._key,
                Body=json.dumps(body).encode(),
                **condition,
            )
        return str(made["ETag"])

    def _read(self) -> _Found:
        s3 = self._account.client("s3")
        try:
            with self._asked():
                found = s3.get_object(Bucket=self._account.bucket, Key=self._key)
                text = found["Body"].read()
        except NotFoundError:
            return _Found()
        with suppress(ValueError, KeyError, TypeError):
            told = json.loads(text)
            names = ("owner", "who", "host", "pid", "until")
            return _Found(found["ETag"], *(told[one] for one in names))
        return _Found(found["ETag"])

    def _renew(self) -> None:
        while not self._done.wait(_LEASE / 3):
            # A renewal that fails leaves two thirds of the lease for the next ones.
            with suppress(BridgeError):
                self._etag = self._write({"IfMatch": self._etag})

    def _asked(self) -> Any:
        return asked(self._account, "s3", f"s3://{self._account.bucket}/{self._key}")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
