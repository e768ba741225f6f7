"""Service images made by a real engine, run in it, and compared with those made without one."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import AccessError, NotFoundError, PermanentError, TemporaryError
from bridge.images import (
    Bundle,
    Credentials,
    ImagePlan,
    Reference,
    ServiceImages,
    make_runtime_image,
)
from bridge.images.registry import Registry
from tests.engines.conftest import Engine
from tests.images.registries import GOOD, WRONG, Served, password, registry

pytestmark = pytest.mark.docker

BIN = "/opt/bridge/bin"
LOOK = """\
find /opt -exec stat -c '%n %F %a %u %g %Y' {} + | sort
find /opt -type f -exec sha256sum {} + | sort
"""


@pytest.fixture(scope="module")
def mark(engine: Engine) -> Iterator[str]:
    """A part of names; every image whose name has it is removed at the end."""
    made = f"oscar-bridge-tests-{secrets.token_hex(4)}"
    yield made
    listing = docker(engine, "images", "--format", "{{.Repository}}:{{.Tag}}")
    names = [name for name in listing.split() if made in name]
    if names:
        docker(engine, "rmi", "-f", *names)


@pytest.fixture(scope="module")
def repository(mark: str) -> str:
    """Where this module's local service images go."""
    return f"{mark}/services"


@pytest.fixture(scope="module")
def bundle(runtime_folder: Path) -> Bundle:
    return Bundle.of(runtime_folder)


@pytest.fixture(scope="module")
def open_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with registry(tmp_path_factory.mktemp("registry")) as served:
        yield served


@pytest.fixture(scope="module")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("private")
    with registry(folder, password(folder)) as served:
        yield served


@pytest.fixture
def images(bundle: Bundle) -> Iterator[ServiceImages]:
    """Service images with the engine, without credentials."""
    made = ServiceImages(bundle, credentials=nobody)
    yield made
    made.close()


def nobody(_: str) -> Credentials | None:
    return None


def no_engine() -> Any:
    raise TemporaryError("no container engine answers")


def docker(engine: Engine, *arguments: str) -> str:
    done = subprocess.run(
        [engine.command, *arguments], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def inspect(engine: Engine, name: object) -> dict[str, Any]:
    return dict(json.loads(docker(engine, "image", "inspect", str(name)))[0])


def built(images: ServiceImages, source: str, repository: str) -> ImagePlan:
    """The plan of a local image that is there now."""
    plan = images.plan(source, "amd64", repository=repository)
    images.apply(plan)
    return plan


@pytest.mark.parametrize("name", ["python", "busybox", "musl", "entrypoint"])
def test_batch_and_lambda_can_start_it(
    engine: Engine,
    image: Callable[[str], str],
    images: ServiceImages,
    repository: str,
    name: str,
) -> None:
    target = str(built(images, image(name), repository).target)
    batch = engine.run(target, [f"{BIN}/bridge-batch", "--version"])
    assert batch.returncode == 0, batch.stderr
    assert batch.stdout.startswith("bridge-batch ")
    started = engine.run(target, ["--version"], "--entrypoint", f"{BIN}/bridge-lambda")
    assert started.returncode == 0, started.stderr
    assert started.stdout.startswith("bridge-lambda ")


def test_the_users_image_is_kept(
    engine: Engine, image: Callable[[str], str], images: ServiceImages, repository: str
) -> None:
    plan = built(images, image("entrypoint"), repository)
    before, after = inspect(engine, image("entrypoint")), inspect(engine, plan.target)
    assert after["RootFS"]["Layers"][:-1] == before["RootFS"]["Layers"]
    for key in ("User", "Env", "WorkingDir", "Volumes", "ExposedPorts"):
        assert after["Config"].get(key) == before["Config"].get(key), key
    assert not after["Config"]["Entrypoint"]
    assert not after["Config"]["Cmd"]
    found = engine.run(str(plan.target), ["id", "-u"])
    assert found.stdout.strip() == "1000"


def test_its_labels(
    engine: Engine, image: Callable[[str], str], images: ServiceImages, repository: str
) -> None:
    plan = built(images, image("entrypoint"), repository)
    labels = inspect(engine, plan.target)["Config"]["Labels"]
    assert labels == dict(plan.labels)
    assert json.loads(labels["oscar-bridge.entrypoint"]) == ["/bin/entry"]
    assert labels["oscar-bridge.runtime"] == images.bundle.digest
    assert labels["org.opencontainers.image.base.name"] == image("entrypoint")


def test_the_second_time_nothing_is_built(
    engine: Engine, image: Callable[[str], str], images: ServiceImages, repository: str
) -> None:
    plan = built(images, image("busybox"), repository)
    there = inspect(engine, plan.target)["Id"]
    again = images.plan(image("busybox"), "amd64", repository=repository)
    assert (again.action, again.target, again.digest) == ("nothing", plan.target, there)
    images.apply(again)
    assert inspect(engine, plan.target)["Id"] == there


def test_services_share_the_layer(
    engine: Engine, image: Callable[[str], str], images: ServiceImages, repository: str
) -> None:
    plans = [built(images, image(name), repository) for name in ("python", "busybox", "entrypoint")]
    layers = {inspect(engine, plan.target)["RootFS"]["Layers"][-1] for plan in plans}
    assert len(layers) == 1
    assert len({plan.target for plan in plans}) == 3


def test_an_image_that_is_not_here(images: ServiceImages) -> None:
    with pytest.raises(NotFoundError, match="oscar-bridge/nowhere:1 is not on this machine"):
        images.plan("oscar-bridge/nowhere:1", "amd64")


def test_a_name_that_means_another_image_by_now(
    engine: Engine, image: Callable[[str], str], images: ServiceImages, mark: str
) -> None:
    name = f"{mark}/moving:1"
    docker(engine, "tag", image("busybox"), name)
    plan = images.plan(name, "amd64", repository=f"{mark}/moved")
    docker(engine, "tag", image("musl"), name)
    with pytest.raises(PermanentError, match="has changed since the plan"):
        images.apply(plan)


def test_it_is_pushed_once(
    image: Callable[[str], str], images: ServiceImages, open_registry: Served, mark: str
) -> None:
    wanted = {"repository": f"{open_registry.host}/{mark}/pushed", "push": True}
    plan = images.plan(image("busybox"), "amd64", **wanted)
    assert (plan.steps, plan.route) == (("build", "push"), "engine")
    made = images.apply(plan)
    client = Registry(open_registry.host)
    assert client.digest(f"{mark}/pushed", plan.target.tag) == made.digest
    before = open_registry.writes()
    again = images.plan(image("busybox"), "amd64", **wanted)
    assert (again.action, again.digest) == ("nothing", made.digest)
    images.apply(again)
    assert open_registry.writes() == before


def test_a_push_into_a_private_registry(
    image: Callable[[str], str], bundle: Bundle, private_registry: Served, mark: str
) -> None:
    wanted = {"repository": f"{private_registry.host}/{mark}/private", "push": True}
    known = {private_registry.host: GOOD}
    images = ServiceImages(bundle, credentials=known.get)
    plan = images.plan(image("busybox"), "amd64", **wanted)
    made = images.apply(plan)
    client = Registry(private_registry.host, GOOD)
    assert client.digest(f"{mark}/private", plan.target.tag) == made.digest

    known[private_registry.host] = WRONG
    refused = ServiceImages(bundle, credentials=known.get)
    with pytest.raises(AccessError) as seen:
        refused.apply(plan)
    with pytest.raises(AccessError) as planned:
        refused.plan(image("busybox"), "amd64", **wanted)
    for error in (seen.value, planned.value):
        assert "docker login" in error.hint
        assert WRONG.password.reveal() not in f"{error} {error.hint} {error!r}"


def test_with_and_without_an_engine_it_is_the_same(  # noqa: PLR0917
    engine: Engine,
    image: Callable[[str], str],
    bundle: Bundle,
    images: ServiceImages,
    open_registry: Served,
    mark: str,
) -> None:
    source = f"{open_registry.host}/{mark}/source:1"
    docker(engine, "tag", image("entrypoint"), source)
    docker(engine, "push", source)

    local = built(images, source, f"{mark}/with")
    alone = ServiceImages(bundle, engine_of=no_engine, credentials=nobody)
    repository = f"{open_registry.host}/{mark}/without"
    plan = alone.plan(source, "amd64", repository=repository, push=True)
    assert plan.target.tag == local.target.tag
    assert plan.labels == local.labels
    alone.apply(plan)

    docker(engine, "pull", str(plan.target))
    first, second = inspect(engine, local.target), inspect(engine, plan.target)
    assert visible(first) == visible(second)
    assert first["RootFS"]["Layers"][:-1] == second["RootFS"]["Layers"][:-1]
    assert first["Architecture"] == second["Architecture"]
    trees = [look(engine, target) for target in (local.target, plan.target)]
    assert trees[0] == trees[1]
    assert f"{BIN}/bridge-batch regular file 755 0 0 315532800" in trees[0]
    done = engine.run(str(plan.target), [f"{BIN}/bridge-batch", "--version"])
    assert done.returncode == 0, done.stderr


def visible(facts: dict[str, Any]) -> dict[str, Any]:
    """What of a configuration says something."""
    return {key: value for key, value in facts["Config"].items() if value and key != "Image"}


def look(engine: Engine, target: Reference) -> str:
    done = engine.run(str(target), ["sh", "-c", LOOK])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_runtimes_own_image_fills_a_folder_and_is_pushed(
    engine: Engine, bundle: Bundle, mark: str, open_registry: Served, tmp_path: Path
) -> None:
    """As a pod has it: a folder of another user, and no shell in the image."""
    name = f"{open_registry.host}/{mark}/runtime:1"
    made = make_runtime_image(name, push=True, bundle=bundle)
    known = Registry(open_registry.host, None).digest(f"{mark}/runtime", "1")
    assert made.digest == known
    made_before = inspect(engine, name)["Id"]
    make_runtime_image(name, bundle=bundle)
    assert inspect(engine, name)["Id"] == made_before
    tmp_path.chmod(0o777)
    mount = ("-v", f"{tmp_path}:/filled", "--user", "1000:1000")
    done = engine.run(name, ["/filled"], *mount)
    assert done.returncode == 0, done.stderr
    source = bundle.folder()
    files = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    for path in files:
        copy = tmp_path / path
        assert copy.stat().st_mode == (source / path).stat().st_mode
        assert copy.read_bytes() == (source / path).read_bytes()
