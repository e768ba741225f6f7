"""An AWS account to try the targets on: moto's server for what is only control plane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.request import Request, urlopen

import pytest
from moto.server import ThreadedMotoServer

from bridge.targets.aws import Account, AccountSettings
from tests.conformance.places import Place, places

CREDENTIALS = {"aws_access_key_id": "AKIATESTTESTTEST", "aws_secret_access_key": "not-a-secret"}


@pytest.fixture
def account() -> Iterator[Account]:
    """An empty account of its own for each test."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # moto keeps one state for the whole process.
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    settings = AccountSettings(
        endpoint=f"http://{host}:{port}",
        credentials=CREDENTIALS,
        role="arn:aws:iam::123456789012:role/oscar-bridge",
        poll=0.0,
    )
    made = Account(settings)
    made.prepare()
    yield made
    server.stop()


@pytest.fixture(scope="session")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Place]]:
    """Lambda and Batch that really run, as plain processes: made once, as that takes seconds."""
    with places("process", tmp_path_factory.mktemp("places")) as found:
        yield found
