"""Clusters on the machines of a cloud, made by the Infrastructure Manager (IM) from our template.

IM keeps nothing of ours but the template. Its credentials, and those of the cloud that it uses for
us, go along with every request; they are never in a message.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import resources
from typing import Any, Final

import yaml

from bridge.errors import (
    AccessError,
    BridgeError,
    NotFoundError,
    PermanentError,
    TargetUnavailable,
    UsageError,
)
from bridge.secret import Secret

__all__ = ["DONE", "FAILED", "Infrastructure", "Manager", "filled", "login_of", "our_template"]

# States of IM in which nothing goes on any more, and those of them that are no success.
DONE: Final = frozenset({"configured", "unconfigured", "failed", "stopped", "off"})
FAILED: Final = DONE - {"configured"}

_SECONDS: Final = 120.0  # IM reads the template's imports before it answers
_LARGEST: Final = 16 * 1024 * 1024
_PLAIN: Final = {"integer": (int,), "float": (int, float), "boolean": (bool,)}
_PASSING: Final = frozenset({408, 425, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """An infrastructure as IM sees it: its state, and that of each machine by number."""

    id: str
    state: str
    machines: Mapping[str, str] = field(default_factory=dict)


def our_template() -> str:
    """The TOSCA template that this package brings (`deploy/im/oscar-bridge.yaml`)."""
    found = resources.files("bridge.operate") / "data" / "oscar-bridge.tosca.yaml"
    return found.read_text(encoding="utf-8")


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with these values for its inputs.

    UsageError for a value without an input, an input without a value, and a text that is no TOSCA.
    """
    try:
        document = yaml.safe_load(template)
        inputs = document["topology_template"].get("inputs") or {}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise UsageError("the template is not TOSCA: it has no topology_template") from error
    for name, value in values.items():
        if name not in inputs:
            close = get_close_matches(name, inputs, 1)
            there = f"did you mean {close[0]}?" if close else f"it has: {', '.join(sorted(inputs))}"
            raise UsageError(f"the template has no input {name}", hint=there)
        inputs[name]["default"] = _checked(name, value, inputs[name])
    missing = [name for name, given in inputs.items() if "default" not in given]
    if missing:
        raise UsageError(
            f"the template's inputs need values: {', '.join(missing)}",
            hint=f"--set {missing[0]}=…",
        )
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _checked(name: str, value: str, declared: Mapping[str, Any]) -> object:
    """Numbers and truths as YAML has them, the rest as text that fits the input's pattern.

    IM would check it too, and repeat a password in its complaint.
    """
    for constraint in declared.get("constraints", ()):
        if not re.fullmatch(constraint.get("pattern", ".*"), value, re.DOTALL):
            raise UsageError(f"the value for {name} must match {constraint['pattern']}")
    kind = declared.get("type", "string")
    if kind not in _PLAIN:
        return value
    try:
        found = yaml.safe_load(value)
    except yaml.YAMLError:
        found = None
    if type(found) not in _PLAIN[kind]:
        raise UsageError(f"the value for {name} must be of type {kind}")
    return found


def login_of(lines: str) -> Secret:
    r"""What IM wants as the Authorization header, from the lines of an authorization file.

    One line for each account: `type = InfrastructureManager; username = …; password = …`, and one
    for the cloud. Blank lines and comments go, and `\n` within a value stays what it is.
    UsageError without an account for IM itself.
    """
    stripped = (line.strip() for line in lines.splitlines())
    kept = [line for line in stripped if line and not line.startswith("#")]
    if not any("InfrastructureManager" in line for line in kept):
        raise UsageError(
            "no account of type InfrastructureManager is among the credentials for IM",
            hint="a line 'type = InfrastructureManager; token = …', or with username and password",
        )
    return Secret("\\n".join(kept))


class Manager:
    """IM's REST API at `url`, as one user."""

    def __init__(self, url: str, login: Secret) -> None:
        """UsageError for a URL that would send credentials through a network in the clear."""
        try:
            parts = urllib.parse.urlsplit(url)
        except ValueError as error:
            raise UsageError(f"the URL of IM is none: {error}") from None
        if parts.scheme != "https" and not (parts.scheme == "http" and _here(parts.hostname or "")):
            raise UsageError(
                "credentials go to IM over https only",
                hint="for an IM without TLS: ssh -L 8800:localhost:8800 its-host, and "
                "http://localhost:8800",
            )
        self._url = url.rstrip("/")
        self._login = login

    def create(self, template: str) -> str:
        """Have the machines made; the id of the infrastructure, at once.

        Not repeated by itself: after TargetUnavailable look at `ids`, for it may have been made.
        """
        answer = self._json("POST", "/infrastructures?async=true", "create", template.encode())
        return str(answer["uri"]).rsplit("/", 1)[-1]

    def ids(self) -> list[str]:
        """The infrastructures of this user."""
        answer = self._json("GET", "/infrastructures", "list infrastructures")
        return [str(one["uri"]).rsplit("/", 1)[-1] for one in answer["uri-list"]]

    def show(self, infrastructure: str) -> Infrastructure:
        """How one stands. NotFoundError when it is not there."""
        answer = self._json("GET", f"{_path(infrastructure)}/state", f"ask for {infrastructure}")
        found = answer["state"]
        return Infrastructure(infrastructure, found["state"], found["vm_states"])

    def outputs(self, infrastructure: str) -> dict[str, Any]:
        """The template's outputs, passwords among them; what is not known yet is absent."""
        what = f"ask for the outputs of {infrastructure}"
        answer = self._json("GET", f"{_path(infrastructure)}/outputs", what)
        return {name: value for name, value in answer["outputs"].items() if value is not None}

    def log(self, infrastructure: str) -> str:
        """What Ansible said while it installed; it may show what the template has."""
        what = f"read the log of {infrastructure}"
        return str(self._json("GET", f"{_path(infrastructure)}/contmsg", what)["contmsg"])

    def destroy(self, infrastructure: str, *, force: bool = False) -> None:
        """Have all its machines removed, with their disks; returns before they are.

        With `force` IM forgets it even when the cloud refuses. NotFoundError when it is not there.
        """
        query = f"?async=true&force={str(force).lower()}"
        self._send("DELETE", f"{_path(infrastructure)}{query}", f"destroy {infrastructure}")

    def _json(self, method: str, path: str, what: str, body: bytes | None = None) -> Any:
        answer = self._send(method, path, what, body)
        try:
            return json.loads(answer)
        except ValueError:
            raise PermanentError(
                f"cannot {what}: IM's answer is not JSON", hint="is it IM's REST API?"
            ) from None

    def _send(self, method: str, path: str, what: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(  # noqa: S310  (checked when this was made)
            f"{self._url}{path}", data=body, method=method, headers={"Accept": "application/json"}
        )
        if body is not None:
            request.add_header("Content-Type", "text/yaml")
        # Not sent on to where IM might redirect.
        request.add_unredirected_header("Authorization", self._login.reveal())
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
                return bytes(answer.read(_LARGEST))
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise _refused(what, refusal, self._login) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise TargetUnavailable(f"cannot {what}: IM at {self._url}: {reason}") from error


def _here(host: str) -> bool:
    """Whether a host is this machine by its name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _path(infrastructure: str) -> str:
    return f"/infrastructures/{urllib.parse.quote(infrastructure, safe='')}"


def _refused(what: str, refusal: urllib.error.HTTPError, login: Secret) -> BridgeError:
    body = refusal.read(_LARGEST).decode(errors="replace")
    try:
        said = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        said = refusal.reason
    if any(secret and secret in said for secret in _values(login)):
        said = refusal.reason  # IM has repeated what it was sent
    message = f"cannot {what}: IM said {refusal.code}: {said}"
    if refusal.code in (401, 403):
        return AccessError(message, hint="the line of type InfrastructureManager is for this IM?")
    if refusal.code == 404:
        return NotFoundError(message, hint="oscar-bridge cluster machines lists what is there")
    return TargetUnavailable(message) if refusal.code in _PASSING else PermanentError(message)


def _values(login: Secret) -> list[str]:
    """The values in the credentials that could be secrets."""
    pairs = (pair.partition("=") for pair in login.reveal().replace("\\n", ";").split(";"))
    return [value.strip(" '\"") for name, _, value in pairs if name.strip() not in _PUBLIC]


_PUBLIC: Final = frozenset({"id", "type", "host", "username", "domain", "tenant", "auth_version"})
