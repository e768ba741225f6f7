"""Plans and their execution: with an engine made of a dictionary, and between real registries."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from bridge.errors import (
    MissingToolError,
    NotFoundError,
    PermanentError,
    TemporaryError,
    UsageError,
)
from bridge.images import Built, Bundle, Credentials, ImagePlan, Reference, ServiceImages, Source
from bridge.images.registry import Registry
from tests.images import pictures
from tests.images.conftest import small_runtime
from tests.images.registries import GOOD, Served


class Shelf:
    """An engine that has images in a dictionary and notes what it is told to do."""

    def __init__(self, *sources: Source) -> None:
        self.sources = {source.name: source for source in sources}
        self.built: dict[str, str] = {}
        self.done: list[str] = []

    def find(self, image: Reference) -> tuple[Source, dict[str, str]] | None:
        source = self.sources.get(str(image))
        return (source, {}) if source else None

    def has(self, image: Reference) -> str:
        return self.built.get(str(image), "")

    def build(self, plan: ImagePlan, runtime: Path) -> str:
        assert (runtime / "runtime.json").is_file()
        self.done.append(f"build {plan.target}")
        return self.built.setdefault(str(plan.target), "sha256:built")

    def push(self, image: Reference, credentials: Credentials | None) -> str:
        self.done.append(f"push {image}")
        return "sha256:pushed"

    def close(self) -> None:
        self.done.append("close")


LOCAL = Source("mine:1", "sha256:mine", "amd64", "engine")


def nothing(_: str) -> None:
    return None


def no_engine() -> Shelf:
    raise TemporaryError("no container engine answers", hint="start one")


def images(bundle: Bundle, shelf: Shelf) -> ServiceImages:
    return ServiceImages(bundle, engine_of=lambda: shelf, credentials=nothing)


def without_engine(bundle: Bundle) -> ServiceImages:
    return ServiceImages(bundle, engine_of=no_engine, credentials=nothing)


def test_what_is_missing_is_built_once(bundle: Bundle) -> None:
    shelf = Shelf(LOCAL)
    plan = images(bundle, shelf).plan("mine:1", "amd64")
    assert (plan.action, plan.steps, plan.route) == ("build", ("build",), "engine")
    assert plan.target.name == "oscar-bridge/services"
    assert shelf.done == []  # a plan only looks
    assert images(bundle, shelf).apply(plan) == Built(plan.target, "sha256:built")
    again = images(bundle, shelf).plan("mine:1", "amd64")
    assert (again.action, again.target) == ("nothing", plan.target)
    assert images(bundle, shelf).apply(again) == Built(plan.target, "sha256:built")
    assert shelf.done == [f"build {plan.target}"]


def test_what_is_built_is_only_pushed(bundle: Bundle, open_registry: Served) -> None:
    shelf, repository = Shelf(LOCAL), f"{open_registry.host}/{pictures.repository()}"
    service = images(bundle, shelf)
    first = service.plan("mine:1", "amd64", repository=repository, push=True)
    assert first.steps == ("build", "push")
    shelf.built[str(first.target)] = "sha256:built"
    plan = service.plan("mine:1", "amd64", repository=repository, push=True)
    assert (plan.action, plan.steps) == ("push", ("push",))
    assert service.apply(plan) == Built(plan.target, "sha256:pushed")
    assert shelf.done == [f"push {plan.target}"]


def test_what_the_registry_has_is_left_alone(bundle: Bundle, open_registry: Served) -> None:
    shelf, name = Shelf(LOCAL), pictures.repository()
    wanted = {"repository": f"{open_registry.host}/{name}"}
    target = images(bundle, shelf).plan("mine:1", "amd64", **wanted).target
    digest = pictures.put(Registry(open_registry.host), name, target.tag)
    plan = images(bundle, shelf).plan("mine:1", "amd64", push=True, **wanted)
    assert (plan.action, plan.digest) == ("nothing", digest)


def test_an_image_that_is_not_here(bundle: Bundle) -> None:
    with pytest.raises(NotFoundError, match="not on this machine") as refused:
        images(bundle, Shelf()).plan("mine:1", "amd64")
    assert "docker pull --platform linux/amd64 mine:1" in refused.value.hint


def test_no_engine_for_a_local_image(bundle: Bundle) -> None:
    with pytest.raises(MissingToolError, match="no container engine answers") as refused:
        without_engine(bundle).plan("mine:1", "amd64")
    assert "registry" in refused.value.hint


def test_another_architecture_than_the_services(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="is for amd64, and the service is for arm64"):
        images(bundle, Shelf(LOCAL)).plan("mine:1", "arm64")


def test_another_architecture_than_the_runtimes(tmp_path: Path) -> None:
    bundle = Bundle.of(small_runtime(tmp_path / "arm", "aarch64"))
    assert bundle.arch == "arm64"
    with pytest.raises(UsageError, match="the runtime is for arm64") as refused:
        images(bundle, Shelf(LOCAL)).plan("mine:1", "amd64")
    assert "--runtime" in refused.value.hint


def test_an_image_that_is_made_to_build_on(bundle: Bundle) -> None:
    source = Source("mine:1", "sha256:m", "amd64", "engine", triggers=("COPY . /app",))
    with pytest.raises(PermanentError, match="ONBUILD"):
        images(bundle, Shelf(source)).plan("mine:1", "amd64")


def test_a_folder_that_is_no_runtime(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"runtime\.json"):
        Bundle.of(tmp_path)


def test_a_runtime_that_has_changed(tmp_path: Path, bundle: Bundle) -> None:
    assert bundle.given is not None
    (bundle.given / "runtime.json").write_text('{"digest": "other", "machine": "x86_64"}')
    with pytest.raises(PermanentError, match="not dddddddddddd any more"):
        bundle.folder()


@pytest.mark.parametrize("kind", [pictures.OCI, pictures.DOCKER], ids=["oci", "docker"])
def test_without_an_engine(open_registry: Served, bundle: Bundle, kind: str) -> None:
    client, source, target = Registry(open_registry.host), *(pictures.repository() for _ in "12")
    digest = pictures.put(client, source, kind=kind)
    service = without_engine(bundle)
    wanted = {"repository": f"{open_registry.host}/{target}", "push": True}
    plan = service.plan(f"{open_registry.host}/{source}:1", "amd64", **wanted)
    assert (plan.steps, plan.route, plan.source.digest) == (("build", "push"), "registry", digest)
    built = service.apply(plan)

    manifest = client.manifest(target, plan.target.tag)
    assert (manifest.digest, manifest.media_type) == (built.digest, kind)
    origin = client.manifest(source, "1").document
    assert manifest.document["layers"][:-1] == origin["layers"]
    config = client.config(target, manifest.document["config"]["digest"])
    assert config["config"]["User"] == pictures.USERS["User"]
    assert "Entrypoint" not in config["config"]
    assert config["config"]["Labels"] == {"mine": "yes", **dict(plan.labels)}
    assert files_of(client, target, manifest.document["layers"][-1]) == {
        "opt/bridge/bin/bridge-batch",
        "opt/bridge/bin/bridge-lambda",
        "opt/bridge/runtime.json",
    }


def files_of(client: Registry, repository: str, layer: dict[str, object]) -> set[str]:
    digest, size = str(layer["digest"]), int(str(layer["size"]))
    with client.blob(repository, digest, size).open() as pieces:
        data = gzip.decompress(b"".join(pieces))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {entry.name for entry in archive if entry.isfile()}


def test_a_second_time_nothing_is_written(open_registry: Served, bundle: Bundle) -> None:
    client, source, target = Registry(open_registry.host), *(pictures.repository() for _ in "12")
    pictures.put(client, source)
    wanted = {"repository": f"{open_registry.host}/{target}", "push": True}
    name = f"{open_registry.host}/{source}:1"
    built = without_engine(bundle).apply(without_engine(bundle).plan(name, "amd64", **wanted))
    before = open_registry.writes()
    again = without_engine(bundle).plan(name, "amd64", **wanted)
    assert (again.action, again.digest) == ("nothing", built.digest)
    assert without_engine(bundle).apply(again) == built
    assert open_registry.writes() == before


def test_the_same_inputs_give_the_same_bytes(open_registry: Served, bundle: Bundle) -> None:
    client, source = Registry(open_registry.host), pictures.repository()
    pictures.put(client, source)
    name = f"{open_registry.host}/{source}:1"
    digests = set()
    for _ in range(2):
        repository = f"{open_registry.host}/{pictures.repository()}"
        plan = without_engine(bundle).plan(name, "amd64", repository=repository, push=True)
        digests.add(without_engine(bundle).apply(plan).digest)
    assert len(digests) == 1


def test_from_an_open_registry_into_a_private_one(
    open_registry: Served, private_registry: Served, bundle: Bundle
) -> None:
    source, target = pictures.repository(), pictures.repository()
    pictures.put(Registry(open_registry.host), source, size=2_000_000)
    known = {private_registry.host: GOOD}
    service = ServiceImages(bundle, engine_of=no_engine, credentials=known.get)
    plan = service.plan(
        f"{open_registry.host}/{source}:1",
        "amd64",
        repository=f"{private_registry.host}/{target}",
        push=True,
    )
    built = service.apply(plan)
    client = Registry(private_registry.host, GOOD)
    manifest = client.manifest(target, plan.target.tag)
    assert manifest.digest == built.digest
    assert all(client.has_blob(target, one["digest"]) for one in manifest.document["layers"])


def test_of_several_architectures_the_services_is_taken(
    open_registry: Served, tmp_path: Path
) -> None:
    client, source = Registry(open_registry.host), pictures.repository()
    digests = pictures.put_index(client, source)
    bundle = Bundle.of(small_runtime(tmp_path / "arm", "aarch64"))
    wanted = {"repository": f"{open_registry.host}/{pictures.repository()}", "push": True}
    service = without_engine(bundle)
    plan = service.plan(f"{open_registry.host}/{source}:1", "arm64", **wanted)
    assert plan.source.digest == digests["arm64"]
    service.apply(plan)
    made = client.manifest(plan.target.repository, plan.target.tag)
    config = client.config(plan.target.repository, made.document["config"]["digest"])
    assert config["architecture"] == "arm64"


def test_no_image_of_the_services_architecture(open_registry: Served, bundle: Bundle) -> None:
    client, source = Registry(open_registry.host), pictures.repository()
    pictures.put_index(client, source)
    name = f"{open_registry.host}/{source}:1"
    with pytest.raises(NotFoundError, match=r"not there for riscv64 \(it is for: amd64, arm64\)"):
        without_engine(bundle).plan(name, "riscv64", push=True)


def test_an_image_that_is_not_for_linux(open_registry: Served, bundle: Bundle) -> None:
    client, source = Registry(open_registry.host), pictures.repository()
    pictures.put(client, source, os="windows")
    with pytest.raises(PermanentError, match="windows"):
        without_engine(bundle).plan(f"{open_registry.host}/{source}:1", "amd64", push=True)


def test_an_image_that_the_registry_has_not(open_registry: Served, bundle: Bundle) -> None:
    with pytest.raises(NotFoundError, match="tests/nowhere"):
        without_engine(bundle).plan(f"{open_registry.host}/tests/nowhere:1", "amd64", push=True)
