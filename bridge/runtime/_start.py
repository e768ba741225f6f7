"""First code inside the runtime folder (there it is the module `bridge_start`).

It puts the process in order and calls one entry's `main`. Nothing of ours is imported before.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def main(entry: str, module: str) -> NoReturn:
    """Run the entry, which ends the process itself."""
    sys.argv[0] = entry
    _trust_certificates()
    if sys.argv[1:] == ["--version"]:
        sys.exit(_print_version(entry))
    importlib.import_module(module).main()
    sys.exit(0)


def _home() -> str:
    return os.path.dirname(os.path.dirname(sys.executable))  # noqa: PTH120  (pathlib is slow to load)


def _trust_certificates() -> None:
    """Use our certificates in an image that has none.

    `putenv` reaches the C and Rust code of this process and not `os.environ`, from which the
    environment of the user's script is made.
    """
    if "SSL_CERT_FILE" in os.environ or "SSL_CERT_DIR" in os.environ:
        return
    if not any(os.path.exists(bundle) for bundle in _BUNDLES):  # noqa: PTH110
        os.putenv("SSL_CERT_FILE", f"{_home()}/ssl/cert.pem")


def _print_version(entry: str) -> int:
    import json  # noqa: PLC0415  (only here: the usual start does not pay for it)

    with open(f"{_home()}/runtime.json", encoding="utf-8") as file:  # noqa: PTH123
        facts = json.load(file)
    print(
        f"{entry} {facts['version']} (runtime {facts['digest'][:12]},"
        f" Python {facts['python']}, {facts['machine']})"
    )
    return 0
