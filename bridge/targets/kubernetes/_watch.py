"""One watch of a cluster's pods: list, then follow the changes, whatever happens to connections."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from bridge.errors import BridgeError, PermanentError, TargetUnavailable
from bridge.targets.kubernetes._errors import Call, Gone, error_of
from bridge.targets.kubernetes.connection import Connection
from bridge.targets.kubernetes.resources import PODS

if TYPE_CHECKING:
    from bridge.targets.kubernetes._transport import Stream

__all__ = ["PodWatch"]

_LOG: Final = logging.getLogger("bridge.targets.kubernetes")
_WATCH_SECONDS: Final = 60.0
_PAUSE_FIRST: Final = 0.1
_PAUSE_LAST: Final = 5.0


class PodWatch:
    """Tells `changed(pod, deleted)` about every pod that fits the selector, from a thread.

    After a break it goes on where it was; when the server does not remember that, it lists anew,
    and then tells `listed` the uids of all pods that there are. What has happened to a pod between
    two lists is not told, but where it came to is. `trouble` is why it cannot go on without help.
    """

    def __init__(
        self,
        connection: Connection,
        labels: str,
        changed: Callable[[Mapping[str, Any], bool], None],
        listed: Callable[[set[str]], None],
    ) -> None:
        self._connection = connection
        self._labels = labels
        self._changed = changed
        self._listed = listed
        self._stopping = threading.Event()
        self._stream: Stream | None = None
        self._version = ""
        self._pause = _PAUSE_FIRST
        self.trouble: PermanentError | None = None
        self._thread = threading.Thread(target=self._run, name="pod-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stopping.set()
        stream = self._stream
        if stream is not None:
            stream.close()
        self._thread.join(_PAUSE_LAST)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._step()
            except Gone:
                self._version = ""
            except BridgeError as error:
                self._wait(error)
            except Exception as error:
                # A defect of ours must not end the watch: jobs would wait for ever.
                _LOG.exception("the watch of pods failed")
                self._wait(TargetUnavailable(f"the watch of pods failed: {error}"))

    def _step(self) -> None:
        if not self._version:
            self._list()
        self._follow()

    def _wait(self, error: BridgeError) -> None:
        self.trouble = error if isinstance(error, PermanentError) else None
        if self._pause == _PAUSE_FIRST:
            _LOG.info("%s; the watch goes on from where it was", error)
        self._rest()

    def _rest(self) -> None:
        self._stopping.wait(self._pause * random.uniform(0.5, 1.0))  # noqa: S311  no secret
        self._pause = min(2 * self._pause, _PAUSE_LAST)

    def _list(self) -> None:
        there: set[str] = set()
        for pods, version in self._connection.pages(PODS, labels=self._labels):
            for pod in pods:
                there.add(str(pod["metadata"]["uid"]))
                self._tell(pod, False)
            last = version
        self._listed(there)
        self._version = last

    def _follow(self) -> None:
        """Read changes until the server or the network ends the answer."""
        stream = self._connection.watch(
            PODS, self._version, labels=self._labels, timeout=_WATCH_SECONDS
        )
        self._stream, self.trouble = stream, None
        begun = time.monotonic()
        try:
            # Whoever closes sets this first, and then looks for a stream to end.
            if not self._stopping.is_set():
                for line in stream:
                    self._read(line)
                    self._pause = _PAUSE_FIRST
        finally:
            self._stream = None
            stream.close()
        if time.monotonic() - begun < self._pause:
            # Something between us ends every answer at once: not to be asked in a loop.
            self._rest()
        else:
            self._pause = _PAUSE_FIRST

    def _read(self, line: bytes) -> None:
        try:
            change = json.loads(line)
        except ValueError:
            raise TargetUnavailable("the watch of pods was cut within a line") from None
        found = change["object"]
        if change["type"] == "ERROR":
            call = Call("watch", str(PODS), self._connection.name, self._connection.namespace)
            raise error_of(call, int(found.get("code") or 500), json.dumps(found).encode())
        if change["type"] != "BOOKMARK":
            self._tell(found, change["type"] == "DELETED")
        self._version = str(found["metadata"]["resourceVersion"])

    def _tell(self, pod: Mapping[str, Any], deleted: bool) -> None:
        try:
            self._changed(pod, deleted)
        except Exception:
            # It would come again and again, and nothing behind it.
            _LOG.exception("pod %s is not understood", pod["metadata"].get("name"))
