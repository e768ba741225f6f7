"""Credentials for registries from where `docker login` and its helpers keep them."""

from __future__ import annotations

import base64
import binascii
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bridge.errors import AccessError, MissingToolError, UsageError
from bridge.images._auth import REFRESH
from bridge.images.model import Credentials
from bridge.secret import Secret

__all__ = ["docker_credentials"]

_HUB: Final = "https://index.docker.io/v1/"
_HELPER_SECONDS: Final = 60


def docker_credentials(registry: str) -> Credentials | None:
    """What `$DOCKER_CONFIG/config.json` (default `~/.docker`) has for a registry's host.

    Credential helpers are asked as Docker asks them. None when nothing is known; UsageError when
    the file cannot be read, MissingToolError when a helper is absent, AccessError when it fails.
    """
    config = _config()
    key = _HUB if registry == "docker.io" else registry
    helper = config.get("credHelpers", {}).get(key) or config.get("credsStore", "")
    if helper and (found := _from_helper(str(helper), key)):
        return found
    return _from_file(config.get("auths", {}), key)


def _config() -> dict[str, Any]:
    folder = os.environ.get("DOCKER_CONFIG", "")
    path = Path(folder) / "config.json" if folder else Path.home() / ".docker" / "config.json"
    try:
        config = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as Docker's configuration") from error
    return config if isinstance(config, dict) else {}


def _from_file(auths: Mapping[str, Mapping[str, str]], key: str) -> Credentials | None:
    for name in (key, f"https://{key}", f"https://{key}/v1/", f"https://{key}/v2/"):
        entry = auths.get(name)
        if entry and (found := _of_entry(entry, name)):
            return found
    return None


def _of_entry(entry: Mapping[str, str], name: str) -> Credentials | None:
    if token := entry.get("identitytoken"):
        return Credentials(REFRESH, Secret(token))
    if not entry.get("auth"):
        return None
    try:
        user, colon, password = base64.b64decode(entry["auth"]).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise UsageError(f"Docker's configuration has unreadable credentials for {name}")
    return Credentials(user, Secret(password))


def _from_helper(helper: str, key: str) -> Credentials | None:
    program = shutil.which(f"docker-credential-{helper}")
    if program is None:
        raise MissingToolError(
            f"docker-credential-{helper}, which Docker's configuration names, is not on PATH",
            hint="install it, or remove it from Docker's config.json",
        )
    try:
        done = subprocess.run(
            [program, "get"],
            input=key,
            capture_output=True,
            text=True,
            check=False,
            timeout=_HELPER_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise AccessError(f"docker-credential-{helper} does not answer") from None
    if done.returncode:
        if "credentials not found" in done.stdout + done.stderr:
            return None
        raise AccessError(f"docker-credential-{helper} gives no credentials for {key}")
    return _of_helper(done.stdout, helper)


def _of_helper(answer: str, helper: str) -> Credentials:
    try:
        document = json.loads(answer)
        return Credentials(document["Username"], Secret(document["Secret"]))
    except (ValueError, KeyError, TypeError):
        raise AccessError(f"docker-credential-{helper} gives no readable answer") from None
