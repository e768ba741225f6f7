"""A target whose memory is a folder: it outlives the process, as a cluster does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bridge.fdl.model import Service, TargetSpec
from bridge.targets import Job, JobState, JobUpdate


class FolderTarget:
    """Keeps what was submitted as files; with `runs` each begins at once and is over by then.

    Whether an attempt runs or is given back is one file that is made once, with the word in it.
    """

    def __init__(self, name: str, folder: Path, *, runs: bool) -> None:
        self.spec = TargetSpec(name, "local")
        self._folder = folder / name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._runs = runs
        self._ours: dict[str, int] = {}

    def deploy(self, services: Sequence[Service]) -> None:
        """Nothing to do."""

    def remove(self, services: Sequence[str]) -> None:
        """Nothing to do."""

    def submit(self, job: Job) -> str:
        """Remember it."""
        (self._folder / f"{job.id}.{job.attempt}.asked").touch()
        self._ours[job.id] = job.attempt
        return f"{self.spec.name}.{job.id}.{job.attempt}"

    def _fate(self, job: str, attempt: int, word: str) -> str:
        path, fate = (self._folder / f"{job}.{attempt}.{last}" for last in (word, "fate"))
        path.write_text(word)
        try:
            fate.hardlink_to(path)
        except FileExistsError:
            return fate.read_text()
        return word

    def withdraw(self, job: Job, handle: str) -> bool | None:
        """See Withdraws."""
        return self._fate(job.id, job.attempt, "back") == "back"

    def poll(self) -> Iterable[JobUpdate]:
        """Run what was submitted here."""
        found = []
        for job, attempt in list(self._ours.items()):
            if self._runs and self._fate(job, attempt, "ran") == "ran":
                found.append(JobUpdate(job, JobState.SUCCEEDED, attempt=attempt))
        return found

    def forget(self, job: str) -> None:
        """It is recorded."""
        self._ours.pop(job, None)

    def cancel(self, job: str) -> None:
        """Nothing runs for long."""

    def logs(self, job: str) -> Iterator[str]:
        """None."""
        return iter(())

    def close(self) -> None:
        """Nothing is open."""

    def ran(self) -> list[str]:
        """The jobs that have run here, once for each run."""
        fates = self._folder.glob("*.fate")
        return [path.name.split(".")[0] for path in fates if path.read_text() == "ran"]
