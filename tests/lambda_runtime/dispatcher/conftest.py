"""A lab for each test: moto's server for what is only control plane."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest
from moto.server import ThreadedMotoServer

from bridge.targets.aws import Account, AccountSettings
from tests.lambda_runtime.dispatcher.world import Lab, Queue

CREDENTIALS = {"aws_access_key_id": "AKIATESTTESTTEST", "aws_secret_access_key": "not-a-secret"}


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server for the session."""
    one = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    one.start()
    host, port = one.get_host_and_port()
    yield f"http://{host}:{port}"
    one.stop()


@pytest.fixture
def lab(server: str) -> Lab:
    """An empty account with a dispatcher."""
    urlopen(Request(f"{server}/moto-api/reset", method="POST")).close()
    return Lab(
        Account(AccountSettings(name="lab", endpoint=server, credentials=CREDENTIALS, poll=0.0))
    )


@pytest.fixture
def queue(lab: Lab) -> Queue:
    """Batch's queue, with the real target in front of it."""
    lab.queue = one = Queue()
    lab.restart()
    return one
