"""`python -m bridge.supervisor.web [--version]`: see the job contract, "synchronous calls"."""

from __future__ import annotations

import gc
import os
import sys

from bridge.supervisor._lazy import defer

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from typing import NoReturn

    from bridge.supervisor.config import ServiceConfig

_USAGE = "usage: python -m bridge.supervisor.web [--version]\n"
_PORT = "8080"


def main() -> NoReturn:
    """Serve until a signal comes, and end the process without the interpreter's own end."""
    status = _run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run(arguments: list[str]) -> int:
    # As in the one-shot entry: neither garbage nor `inspect` is worth its time at the start.
    gc.disable()
    defer("inspect")
    if arguments == ["--version"]:
        from bridge import __version__  # noqa: PLC0415

        sys.stdout.write(f"oscar-bridge-http {__version__}\n")
        return 0
    if arguments:
        sys.stderr.write(_USAGE)
        return 2
    from bridge.errors import BridgeError  # noqa: PLC0415

    try:
        return _serve(os.environ)
    except BridgeError as error:
        hint = f" ({error.hint})" if error.hint else ""
        sys.stderr.write(f"[supervisor] {error.message}{hint}\n")
        return 125


def _serve(environ: Mapping[str, str]) -> int:
    from functools import partial  # noqa: PLC0415

    from bridge.supervisor.sources import load_service, seconds, work_base  # noqa: PLC0415
    from bridge.supervisor.stores import secret_source  # noqa: PLC0415
    from bridge.supervisor.web._call import Setting, in_child  # noqa: PLC0415
    from bridge.supervisor.web._server import Limits, Server  # noqa: PLC0415

    listener = _listener(environ.get("BRIDGE_HTTP_ADDRESS") or f":{_PORT}")
    limits = Limits(running=_count(environ.get("BRIDGE_CONCURRENCY") or "1"))
    service = load_service(environ, _no_store)
    timeout = seconds(environ.get("BRIDGE_TIMEOUT"), "BRIDGE_TIMEOUT")
    setting = Setting(service, secret_source(environ), work_base(environ), timeout)
    _import_for_calls(service)
    host, port = listener.getsockname()[:2]
    sys.stderr.write(f"[supervisor] {service.name} is served on {host} port {port}\n")
    sys.stderr.flush()
    # Nothing of what is here becomes garbage, and looking at it would copy its pages in each fork.
    gc.freeze()
    gc.enable()
    return Server(listener, partial(in_child, setting), limits).serve()


def _listener(address: str) -> socket.socket:
    """A bound socket for `[host]:port`; without a host, all addresses of this machine."""
    import socket  # noqa: PLC0415

    from bridge.errors import UsageError  # noqa: PLC0415

    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not port.isdigit() or int(port) > 65535:
        raise UsageError(f"BRIDGE_HTTP_ADDRESS must be host:port or :port, not {address!r}")
    everywhere = "" if host else "::"
    try:
        if everywhere and socket.has_dualstack_ipv6():
            return socket.create_server(
                (everywhere, int(port)), family=socket.AF_INET6, dualstack_ipv6=True
            )
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, int(port)), family=family)
    except OSError as error:
        raise UsageError(f"cannot listen on {address}: {error.strerror or error}") from None


def _no_store(provider: str) -> NoReturn:
    """The client of an object store has threads, which a fork does not take with it."""
    from bridge.errors import UsageError  # noqa: PLC0415

    raise UsageError(
        "a server of synchronous calls does not take its service from an object store",
        hint="set BRIDGE_SERVICE_FILE or FUNCTION_CONFIG instead of BRIDGE_SERVICE_URL",
    )


def _count(text: str) -> int:
    from bridge.errors import UsageError  # noqa: PLC0415

    if not text.isdigit() or not int(text):
        raise UsageError(f"BRIDGE_CONCURRENCY must be a whole number from 1, not {text!r}")
    return int(text)


def _import_for_calls(service: ServiceConfig) -> None:
    """Load once what each call would have to load in its own process."""
    import base64  # noqa: F401, PLC0415
    import ctypes  # noqa: F401, PLC0415

    used = {path.provider for path in (*service.inputs, *service.outputs)}
    if any(provider.startswith(("s3.", "minio.")) for provider in used):
        import bridge.storage._s3  # noqa: F401, PLC0415


if __name__ == "__main__":
    main()
