"""What a pipeline leaves: files of the last stages and replies, fetched into a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from bridge.dispatch import JobRecord
from bridge.errors import BridgeError, NotFoundError, UnsafePathError
from bridge.fdl.model import ProviderRef, Service, StoragePath
from bridge.local._together import Together
from bridge.pipeline import Routes
from bridge.storage import Store
from bridge.targets import JobState

__all__ = ["Result", "Results"]

_AT_ONCE: Final = 8
# Lines of a job's log that are not the script's: ours, and Lambda's around an invocation.
_NOT_THE_SCRIPTS: Final = re.compile(r"\[supervisor\] |(START|END|REPORT) RequestId: ")


@dataclass(frozen=True, slots=True)
class Result:
    """One file that a last stage wrote, fetched to `path`."""

    service: str
    job: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    job: JobRecord
    place: StoragePath
    bucket: str
    key: str
    target: Path


class Results:
    """Fetches what no service takes further. `names` are the inputs of requests, by job.

    `open_store` gives the store of a provider, `logs` the lines of a job's log, `fetched` is
    told the size of each file. `problems` are sentences about what could not be fetched.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        routes: Routes,
        *,
        open_store: Callable[[ProviderRef], Store],
        logs: Callable[[JobRecord], list[str]],
        names: Mapping[str, str],
        fetched: Callable[[int], None],
        together: Together,
    ) -> None:
        self._services = services
        self._routes = routes
        self._open = open_store
        self._logs = logs
        self._names = names
        self._fetched = fetched
        self._together = together
        self.problems: list[str] = []

    def fetch(self, jobs: Iterable[JobRecord], folder: Path) -> list[Result]:
        """Objects into `<folder>/<service>/`, replies as `<folder>/<service>/<input>.txt`.

        Of two jobs that wrote the same file, the later one's is there, once.
        """
        wanted: dict[Path, _Wanted] = {}
        replies: list[JobRecord] = []
        for job in jobs:
            if job.state is JobState.SUCCEEDED:
                if self._services[job.service].outputs:
                    wanted |= {each.target: each for each in self._of(job, folder / job.service)}
                else:
                    replies.append(job)
        work: list[Callable[[], Result | None]] = [
            *(partial(self._get, each) for each in wanted.values()),
            *(partial(self._reply, job, folder / job.service) for job in replies),
        ]
        done = self._together.run(work, _AT_ONCE)
        found = [result for result in done if result is not None]
        return sorted(found, key=lambda result: (result.path.parent, result.path.name))

    def _of(self, job: JobRecord, folder: Path) -> Iterator[_Wanted]:
        service = self._services[job.service]
        for output in job.report.get("outputs", ()):
            provider, bucket, key = output["provider"], output["bucket"], output["key"]
            if self._routes.match(provider, bucket, key, writer=job.service):
                continue
            try:
                place = _place_of(service, provider, bucket, key)
                target = _inside(folder, key[len(place.key_for("")) :])
            except BridgeError as error:
                self.problems.append(error.message)
            else:
                yield _Wanted(job, place, bucket, key, target)

    def _get(self, wanted: _Wanted) -> Result | None:
        job, target = wanted.job, wanted.target
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            info = self._open(wanted.place.provider).get(wanted.bucket, wanted.key, target)
        except (BridgeError, OSError) as error:
            self.problems.append(f"{wanted.bucket}/{wanted.key} cannot be fetched: {error}")
            return None
        self._fetched(info.size)
        return Result(job.service, job.id, target, info.size)

    def _reply(self, job: JobRecord, folder: Path) -> Result | None:
        """The script's text, which is what a caller gets of a service without outputs."""
        said = [line for line in self._logs(job) if not _NOT_THE_SCRIPTS.match(line)]
        try:
            target = _inside(folder, f"{self._names.get(job.id, job.id)}.txt")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("".join(f"{line}\n" for line in said), errors="replace")
        except (BridgeError, OSError) as error:
            self.problems.append(f"the reply of job {job.id} cannot be written: {error}")
            return None
        size = target.stat().st_size
        self._fetched(size)
        return Result(job.service, job.id, target, size)


def _inside(folder: Path, name: str) -> Path:
    """The file of that name below the folder; UnsafePathError when it would be elsewhere."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise UnsafePathError(f"the object {name!r} cannot be a file of {folder}")
    return folder.joinpath(*parts)


def _place_of(service: Service, provider: str, bucket: str, key: str) -> StoragePath:
    """The output path that an object was written under: the deepest that fits."""
    fits = [
        place
        for place in service.outputs
        if (str(place.provider), place.bucket) == (provider, bucket)
        and key.startswith(place.key_for(""))
    ]
    if not fits:
        raise NotFoundError(f"{provider}:{bucket}/{key} is in no output path of {service.name}")
    return max(fits, key=lambda place: len(place.folder))
