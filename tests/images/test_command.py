"""`oscar-bridge image build` as a process, where no engine is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.images.registry import Registry
from tests.command import bridge, document, service
from tests.images import pictures
from tests.images.conftest import small_runtime
from tests.images.registries import Served

AWAY = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
LAMBDA = """\
functions:
  aws:
  - lambda:
      name: first
      container: {image: IMAGE}
  - lambda:
      name: second
      container: {image: IMAGE}
"""


@pytest.fixture
def fdl(tmp_path: Path, open_registry: Served) -> Path:
    """Two functions of one image that is in a registry."""
    name = pictures.repository()
    pictures.put(Registry(open_registry.host), name)
    path = tmp_path / "services.yaml"
    path.write_text(LAMBDA.replace("IMAGE", f"{open_registry.host}/{name}:1"))
    return path


def test_services_that_share_an_image_get_one(
    fdl: Path, open_registry: Served, tmp_path: Path
) -> None:
    name = pictures.repository()
    runtime = small_runtime(tmp_path / "runtime")
    command = ["image", "build", fdl, "--repository", f"{open_registry.host}/{name}", "--push"]
    command += ["--runtime", runtime, "--json"]
    planned = bridge(*command, "--dry-run", env=AWAY).json["images"]
    assert [row["digest"] for row in planned] == ["", ""]
    made = bridge(*command, env=AWAY).json["images"]
    assert [row["service"] for row in made] == ["first", "second"]
    assert {row["action"] for row in made} == {"build"}
    assert len({row["image"] for row in made}) == 1
    tag = made[0]["image"].rpartition(":")[2]
    assert Registry(open_registry.host).digest(name, tag) == made[0]["digest"]
    again = bridge(*command, env=AWAY).json["images"]
    assert {row["action"] for row in again} == {"nothing"}
    assert {row["digest"] for row in again} == {made[0]["digest"]}


def test_one_service_by_name(fdl: Path, open_registry: Served, tmp_path: Path) -> None:
    command = ["image", "build", fdl, "--repository", f"{open_registry.host}/a", "--push"]
    command += ["--runtime", small_runtime(tmp_path / "runtime"), "--dry-run"]
    done = bridge(*command, "--service", "second", env=AWAY)
    assert done.status == 0
    assert "second" in done.out
    assert "first" not in done.out
    assert "first, second" in bridge(*command, "--service", "third", env=AWAY).failed(2)


def test_pushing_needs_a_place(fdl: Path) -> None:
    assert "--repository" in bridge("image", "build", fdl, "--push", env=AWAY).failed(2)


def test_local_images_need_an_engine(fdl: Path) -> None:
    assert "no container engine answers" in bridge("image", "build", fdl, env=AWAY).failed(3)


def test_a_file_for_clusters_needs_no_image(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    (tmp_path / "one.sh").write_text("#!/bin/sh\n")
    path.write_text(document(service("one")))
    assert "--service" in bridge("image", "build", path, env=AWAY).failed(2)
