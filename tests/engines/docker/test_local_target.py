"""Jobs of the local target in containers: the image's own tools, its limits, our runtime."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest

from bridge.errors import PermanentError
from bridge.events import Event, EventKind, job_id
from bridge.fdl.model import ProviderRef, Resources, Service, StoragePath, TargetSpec
from bridge.local.executors import container_executor, engine_available, gateway
from bridge.local.objectstore import ObjectStore
from bridge.local.target import LocalTarget
from bridge.secret import Secret
from bridge.targets.protocol import Job, JobState, JobUpdate
from bridge.targets.render import ProviderAccess
from tests.waiting import eventually

pytestmark = pytest.mark.docker

MINIO = ProviderRef("minio")
MIB = 1024 * 1024
SHOUT = 'tr a-z A-Z < "$INPUT_FILE_PATH" > "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")"\n'


@dataclass
class Place:
    target: LocalTarget
    store: ObjectStore
    folder: Path
    session: str
    image: str

    def service(self, name: str, script: str) -> Service:
        return Service(
            name=name,
            origin="oscar",
            image=self.image,
            resources=Resources(Decimal("0.5"), 96 * MIB),
            script_text=script,
            inputs=(StoragePath(MINIO, "data/in"),),
            outputs=(StoragePath(MINIO, "data/out"),),
        )

    def job(self, service: str, key: str) -> Job:
        source = self.folder / "input"
        source.write_bytes(b"some text")
        self.store.upload("data", key, source)
        event = Event(EventKind.MINIO, "minio.default", "data", key, 9)
        return Job(job_id(service, event), service, event)

    def run(self, name: str, script: str, key: str = "in/a.txt") -> tuple[JobUpdate, list[str]]:
        self.target.deploy([self.service(name, script)])
        job = self.job(name, key)
        self.target.submit(job)
        update = self.until(job, lambda state: state.final)
        return update, list(self.target.logs(job.id))

    def until(self, job: Job, wanted: Callable[[JobState], bool]) -> JobUpdate:
        found: list[JobUpdate] = []

        def there() -> bool:
            found.extend(u for u in self.target.poll() if u.job == job.id and wanted(u.state))
            return bool(found)

        eventually(there, 120, known=lambda: list(self.target.logs(job.id)))
        return found[-1]

    def containers(self) -> list[str]:
        label = f"label=oscar-bridge.session={self.session}"
        command = ["docker", "ps", "-aq", "--filter", label]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture
def place(tmp_path: Path, image: Callable[[str], str], runtime_folder: Path) -> Iterator[Place]:
    if reason := engine_available():
        pytest.skip(reason)
    name = image("busybox")
    session = f"test-target-{os.getpid()}"
    executor = container_executor(session, runtime_folder)
    with ObjectStore(tmp_path / "store", address=gateway()) as store:
        assert store.container_endpoint == store.endpoint
        store.ensure_bucket("data")
        target = LocalTarget(
            TargetSpec("here", "local", slots=2),
            executor,
            session=session,
            folder=tmp_path / "target",
            access={MINIO: ProviderAccess(*store.provider())},
        )
        place = Place(target, store, tmp_path, session, name)
        yield place
        target.close()
        assert place.containers() == []
    executor.close()


@pytest.mark.parametrize("key", ["in/a.txt", "in/a file+ñ%20.txt"])
def test_a_job_from_object_to_object(place: Place, key: str) -> None:
    update, log = place.run("shout", SHOUT, key)
    assert (update.state, update.exit_code) == (JobState.SUCCEEDED, 0), (update, log)
    place.store.download("data", key.replace("in/", "out/"), place.folder / "got")
    assert (place.folder / "got").read_bytes() == b"SOME TEXT"
    assert update.report["outputs"][0]["size"] == 9


def test_the_image_and_the_variables_are_the_services(place: Place) -> None:
    script = 'readlink -f /bin/sh; echo "$WIDTH $TOKEN"; ls /oscar/config; exit 7\n'
    service = replace(
        place.service("look", script),
        variables={"WIDTH": "100 px"},
        secrets={"TOKEN": Secret("a-token")},
    )
    place.target.deploy([service])
    job = place.job("look", "in/a")
    place.target.submit(job)
    update = place.until(job, lambda state: state.final)
    log = list(place.target.logs(job.id))
    assert (update.state, update.exit_code, update.temporary) == (JobState.FAILED, 7, False)
    assert any("busybox" in line for line in log)
    assert "100 px a-token" in log
    assert "script.sh" in log


def test_memory_above_the_limit_fails_the_job(place: Place) -> None:
    update, log = place.run("hungry", "head -c 500m /dev/zero | tail -c 400m | wc -c\n")
    assert update.state is JobState.FAILED, log
    assert not update.temporary


def test_a_timeout(place: Place) -> None:
    place.target.deploy([replace(place.service("slow", "sleep 600\n"), timeout=1.0)])
    job = place.job("slow", "in/a")
    place.target.submit(job)
    update = place.until(job, lambda state: state.final)
    assert (update.state, update.exit_code, update.temporary) == (JobState.FAILED, 124, False)


def test_cancel_removes_the_container(place: Place) -> None:
    place.target.deploy([place.service("hang", "sleep 600\n")])
    job = place.job("hang", "in/a")
    place.target.submit(job)
    place.until(job, lambda state: state is JobState.RUNNING)
    assert len(place.containers()) == 1
    place.target.cancel(job.id)
    assert place.until(job, lambda state: state.final).state is JobState.CANCELLED
    assert place.containers() == []


def test_a_container_that_is_killed_is_a_temporary_failure(place: Place) -> None:
    place.target.deploy([place.service("hang", "sleep 600\n")])
    job = place.job("hang", "in/a")
    place.target.submit(job)
    place.until(job, lambda state: state is JobState.RUNNING)
    subprocess.run(["docker", "kill", *place.containers()], check=True, capture_output=True)
    update = place.until(job, lambda state: state.final)
    assert (update.state, update.temporary) == (JobState.FAILED, True)


def test_an_image_that_is_not_here_is_refused_at_once(place: Place) -> None:
    service = replace(place.service("x", "true\n"), image="oscar-bridge/no-such-image:local")
    with pytest.raises(PermanentError, match="no-such-image"):
        place.target.deploy([service])
