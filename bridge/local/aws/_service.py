"""The process behind the endpoint: the emulator with our functions and our Batch, served on a port.

It ends when its standard input does, when its parent is gone, or on SIGTERM, and takes everything
that it started with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.errors import PermanentError
from bridge.local.aws.model import Place, Settings
from bridge.local.executors import Guard, choose

REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"
ACCESS_KEY: Final = "BRIDGE_AWS_ACCESS_KEY"
SECRET_KEY: Final = "BRIDGE_AWS_SECRET_KEY"  # noqa: S105  the name of a variable
_BACKLOG: Final = 512
_PARENT_POLL: Final = 1.0
_GRACE: Final = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What the process is started with. `folder` is its own, and removed at the end."""

    host: str
    port: int
    engine: str
    session: str
    folder: Path
    runtime: Path | None
    settings: Settings


def run(options: Options) -> None:
    """Serve until told to stop; everything is cleaned up when this returns."""
    place = _place_keys()
    parent = os.getppid()
    listener = _listen(options)
    port = listener.getsockname()[1]
    prepare_environment(options, port, place)
    with _cleaned(options):
        where = Place(f"http://{options.host}:{port}", place.access_key, place.secret_key)
        asyncio.run(_serve(options, listener, where, parent))


def _listen(options: Options) -> socket.socket:
    try:
        return socket.create_server((options.host, options.port), backlog=_BACKLOG)
    except OSError as error:
        where = f"{options.host}:{options.port}"
        raise PermanentError(f"the endpoint cannot listen on {where}: {error.strerror}") from error


def prepare_environment(options: Options, port: int, place: Place) -> None:
    """Set what the emulator reads when it is imported, and keep its files in our folder."""
    temporary = options.folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(temporary)
    os.environ.update(
        {
            "GATEWAY_PORT": str(port),
            "BIND_HOST": options.host,
            "MINISTACK_HOST": options.host,
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "TMPDIR": str(temporary),
            "S3_DATA_DIR": str(temporary / "s3"),
            "STATE_DIR": str(temporary / "state"),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
            "LAMBDA_ACCOUNT_CONCURRENCY": str(options.settings.environments),
            # What its own zip functions get.
            "AWS_ACCESS_KEY_ID": place.access_key,
            "AWS_SECRET_ACCESS_KEY": place.secret_key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": f"http://{options.host}:{port}",
        }
    )


def _place_keys() -> Place:
    """The session's keys, taken out of the environment so that no child inherits them."""
    return Place("", os.environ.pop(ACCESS_KEY, "test"), os.environ.pop(SECRET_KEY, "test"))


@contextlib.contextmanager
def _cleaned(options: Options) -> Iterator[None]:
    """A guard beside us while the block runs; our folder is gone after it."""
    from bridge.local.executors.guard import clean_up  # noqa: PLC0415

    containers = options.engine == "container"
    with Guard(options.session, options.folder, containers=containers):
        try:
            yield
        finally:
            clean_up(options.session, options.folder, containers=containers)


async def _serve(options: Options, listener: socket.socket, place: Place, parent: int) -> None:
    from hypercorn.asyncio import serve  # noqa: PLC0415  after the environment is prepared
    from hypercorn.config import Config  # noqa: PLC0415

    from bridge.local.aws import emulator  # noqa: PLC0415
    from bridge.local.aws._access import Gate  # noqa: PLC0415
    from bridge.local.aws._engines import Engines  # noqa: PLC0415

    stop = asyncio.Event()
    _watch_for_the_end(stop, parent)
    executor = choose(
        options.engine,
        options.session,
        folder=options.folder / "tasks",
        runtime=options.runtime,
    )
    engines = Engines(executor, options.host, place, options.settings)
    known = {place.access_key}
    gate = Gate(emulator.application(), lambda key: key in known or emulator.has_session(key))

    async def until_stopped() -> None:
        await stop.wait()
        # While the loop still runs: the last lines of logs go through it.
        await asyncio.to_thread(engines.close)

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = _GRACE
    config.loglevel = "WARNING"
    announce(place)
    app: Any = gate
    await serve(app, config, shutdown_trigger=until_stopped)


def announce(place: Place) -> None:
    """Tell the parent where we are: one line of JSON."""
    told = {"endpoint": place.url, "region": REGION, "account": ACCOUNT}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _watch_for_the_end(stop: asyncio.Event, parent: int) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def end() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is over: so are we
            loop.call_soon_threadsafe(stop.set)

    def read_input() -> None:
        while os.read(0, 4096):
            continue
        end()

    def watch_parent() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(_PARENT_POLL)
        end()

    for watch in (read_input, watch_parent):
        threading.Thread(target=watch, name=watch.__name__, daemon=True).start()
