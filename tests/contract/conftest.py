"""Every test of the contract once per endpoint, except where a difference says otherwise."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import docker
import pytest
from docker.errors import APIError
from docker.utils import kwargs_from_env
from moto.server import ThreadedMotoServer

from bridge.errors import BridgeError
from bridge.local.aws import AwsEndpoint, Settings
from bridge.local.executors import container_executor, engine_available, gateway
from tests.contract import differences
from tests.contract.batch import Batch, make
from tests.contract.endpoint import IMAGE, OTHER_IMAGE, REGION, Endpoint, on_this_machine

GIVEN = "OSCAR_BRIDGE_CONTRACT_ENDPOINT"
KINDS = ("process", "container", "moto")
SETTINGS = Settings(
    environments=16,
    async_workers=4,
    idle=30.0,
    init_timeout=10.0,
    retry_delays=(0.02, 0.04),
    batch_workers=6,
    grace=0.5,
    job_timeout=1,
)


def pytest_configure(config: pytest.Config) -> None:
    text = "contract(*ids): the differences that a test knows of, by their ids"
    config.addinivalue_line("markers", text)
    text = (
        "any_engine: about what is the same however work runs, so it is tried with processes only"
    )
    config.addinivalue_line("markers", text)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "aws" not in metafunc.fixturenames:
        return
    rows = [
        differences.row(number)
        for mark in metafunc.definition.iter_markers("contract")
        for number in mark.args
    ]
    kinds = [*KINDS, *(["given"] if GIVEN in os.environ else [])]
    if any(metafunc.definition.iter_markers("any_engine")):
        kinds.remove("container")
    chosen = [_parameter(kind, rows) for kind in kinds if not any(kind in r.missing for r in rows)]
    metafunc.parametrize("aws", chosen, indirect=True, scope="session")


def _parameter(kind: str, rows: list[differences.Row]) -> object:
    marks = [pytest.mark.docker] if kind in {"container", "moto"} else []
    # Strict: a difference that is gone must leave the list.
    marks += [
        pytest.mark.xfail(strict=True, reason=f"{row.id}: {row.says(kind)}")
        for row in rows
        if kind in row.differs
    ]
    return pytest.param(kind, id=kind, marks=marks)


@pytest.fixture(scope="session")
def aws(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    """The endpoint under test."""
    opened = {"process": process, "container": container, "moto": moto, "given": given}
    with opened[request.param](tmp_path_factory.mktemp("contract")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def batch(aws: Endpoint) -> Batch:
    """A queue that tests share and leave as it is."""
    return make(aws)


@contextlib.contextmanager
def process(folder: Path) -> Iterator[Endpoint]:
    with AwsEndpoint(folder / "aws", settings=SETTINGS) as endpoint:
        yield ours("process", endpoint, program=on_this_machine())


@contextlib.contextmanager
def container(folder: Path) -> Iterator[Endpoint]:
    need_engine()
    with AwsEndpoint(
        folder / "aws", engine="container", address=gateway(), settings=SETTINGS
    ) as endpoint:
        yield ours("container", endpoint)


def ours(kind: str, endpoint: AwsEndpoint, **settings: list[str]) -> Endpoint:
    env = endpoint.environment()
    keys = env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]
    return Endpoint(kind, endpoint.url, *keys, endpoint.account, **settings)


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[Endpoint]:
    """Where its containers reach it."""
    need_engine()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address=gateway(), port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    endpoint = Endpoint("moto", url, "test", "test", "123456789012", patience=15)
    try:
        yield endpoint
    finally:
        server.stop()
        remove_containers(endpoint.job_name)


def remove_containers(job: str) -> None:
    """Those of one job name: moto leaves what runs when it is stopped."""
    client = docker.APIClient(timeout=30, **kwargs_from_env())
    ours = {"name": f"^/{job}-"}  # the name of the job, then its id
    limit = time.monotonic() + 10
    try:
        # Those that wait for an object see that the server is gone; moto's threads remove them.
        while client.containers(all=True, filters=ours) and time.monotonic() < limit:
            time.sleep(0.1)
        for one in client.containers(all=True, filters=ours):
            with contextlib.suppress(APIError):
                client.remove_container(one["Id"], v=True, force=True)
    finally:
        client.close()


@contextlib.contextmanager
def given(folder: Path) -> Iterator[Endpoint]:
    """By the environment; its credentials are those that an AWS SDK finds."""
    url = os.environ[GIVEN]
    found = boto3.Session().get_credentials()
    keys = (found.access_key, found.secret_key) if found else ("test", "test")
    who = boto3.client(
        "sts",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
    )
    account = who.get_caller_identity()["Account"]
    image = os.environ.get(f"{GIVEN}_IMAGE", IMAGE)
    yield Endpoint("given", url, *keys, account, image, patience=300)


def need_engine() -> None:
    if reason := engine_available():
        pytest.skip(reason)
    executor = container_executor("probe")
    try:
        for image in (IMAGE, OTHER_IMAGE):
            executor.check(image)
    except BridgeError as error:
        pytest.skip(f"{error.message}: run tools/base-images.sh")
    finally:
        executor.close()
