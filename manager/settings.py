"""What the manager is told when it starts: OSCAR's own names of variables, and a few more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from bridge.errors import UsageError
from bridge.scheduler import Trial
from bridge.secret import Secret
from manager.oidc import OidcSettings
from manager.throttle import Limits

__all__ = ["Reader", "Settings", "from_environment", "state_folder"]

_TRUE: Final = frozenset({"true", "1", "yes", "on", "t"})
_FALSE: Final = frozenset({"false", "0", "no", "off", "f"})
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Settings:
    """How the manager answers. Times in seconds, sizes in bytes.

    `max_service` and `max_event` bound the bodies of services and of invocations, `max_held` all
    that are in memory at once. `run_wait` is how long a synchronous call may take. `reconcile` is
    the pause between two listings of all inputs, `pull` that of inputs whose store sends no events.
    `lone_ports` gives Go's clients a single port as a number. `backlog` is how many open jobs there
    may be before new events are turned away for a while. `limits` are those on wrong credentials.
    `proxies` are the addresses and networks whose X-Forwarded-For says where a request is from.
    `trial` are the policies on trial.
    """

    user: str
    password: Secret
    name: str = "oscar"
    namespace: str = "oscar"
    services_namespace: str = "oscar-svc"
    service_account: str = "oscar-sa"
    serverless: str = "knative"
    origins: tuple[str, ...] = ("*",)
    page: int = 70
    max_service: int = 4 * _MIB
    max_event: int = 64 * _MIB
    max_held: int = 256 * _MIB
    run_wait: float = 300.0
    reconcile: float = 300.0
    pull: float = 30.0
    backlog: int = 1_000_000
    lone_ports: bool = True
    webhook_token: Secret = field(default_factory=lambda: Secret(""))
    oidc: OidcSettings | None = None
    limits: Limits = field(default_factory=Limits)
    proxies: tuple[str, ...] = ()
    trial: Trial = field(default_factory=Trial)


def from_environment(environment: Mapping[str, str], *, token: Secret) -> Settings:
    """The settings that OSCAR's variables give; UsageError for one that is missing or wrong.

    `token` is what object stores prove themselves with.
    """
    read = Reader(environment)
    return Settings(
        user=read.required("OSCAR_USERNAME"),
        password=Secret(read.required("OSCAR_PASSWORD")),
        name=read.text("OSCAR_NAME", "oscar"),
        namespace=read.text("OSCAR_NAMESPACE", "oscar"),
        services_namespace=read.text("OSCAR_SERVICES_NAMESPACE", "oscar-svc"),
        service_account=read.text("OSCAR_CONTROLLER_SERVICE_ACCOUNT", "oscar-sa"),
        serverless=read.text("SERVERLESS_BACKEND", ""),
        origins=tuple(read.words("CORS_ALLOWED_ORIGINS", "*")),
        page=read.whole("JOB_LISTING_LIMIT", 70),
        run_wait=float(read.whole("READ_TIMEOUT", 300)),
        reconcile=float(read.whole("BRIDGE_RECONCILE_INTERVAL", 300)),
        pull=float(read.whole("BRIDGE_PULL_INTERVAL", 30)),
        webhook_token=token,
        oidc=_oidc(read) if read.flag("OIDC_ENABLE", default=False) else None,
        proxies=tuple(map(_network, read.words("BRIDGE_TRUSTED_PROXIES"))),
        trial=Trial.of(environment),
    )


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        said = f"BRIDGE_TRUSTED_PROXIES: {text!r} is neither an address nor a network"
        raise UsageError(said, hint="write 10.0.0.7 or 10.0.0.0/8") from None


def _oidc(read: Reader) -> OidcSettings:
    read.required("OIDC_ISSUERS")
    return OidcSettings(
        tuple(read.words("OIDC_ISSUERS")),
        tuple(read.words("OIDC_GROUPS")),
        read.text("BRIDGE_OIDC_AUDIENCE", ""),
    )


def state_folder(environment: Mapping[str, str]) -> Path:
    """Where the manager keeps what it must not forget."""
    return Path(environment.get("BRIDGE_STATE") or "/var/lib/oscar-bridge")


class Reader:
    """Reads variables by kind; UsageError for one that is missing or wrong. Empty is not set."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str, default: str) -> str:
        """Text as it is."""
        return self._environment.get(name) or default

    def required(self, name: str) -> str:
        """Text that must be there."""
        if not (value := self.text(name, "")):
            raise UsageError(f"the variable {name} is not set")
        return value

    def words(self, name: str, default: str = "") -> list[str]:
        """Words with commas or blanks between them."""
        return self.text(name, default).replace(",", " ").split()

    def whole(self, name: str, default: int) -> int:
        """A whole number above 0."""
        text = self.text(name, str(default))
        if not text.isdecimal() or not int(text):
            raise UsageError(f"{name}={text!r} is not a whole number above 0")
        return int(text)

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        word = self.text(name, str(default)).lower()
        if word not in _TRUE | _FALSE:
            raise UsageError(f"{name}={word!r} is neither true nor false")
        return word in _TRUE
