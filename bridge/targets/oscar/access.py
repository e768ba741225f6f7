"""How a cluster is reached: what an FDL file says of it, completed by what this user has.

the file's `clusters:`  →  OSCAR_ENDPOINT, OSCAR_USERNAME, OSCAR_PASSWORD, OSCAR_TOKEN
                        →  ~/.oscar-cli/config.yaml, the file of oscar-cli
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bridge.errors import AccessError, UsageError
from bridge.fdl.model import Cluster, Document
from bridge.secret import Secret
from bridge.targets.oscar.profiles import DEFAULT, Profiles

__all__ = [
    "ENVIRONMENT",
    "ClusterAccess",
    "access_in",
    "access_to",
    "chosen_cluster",
    "default_cluster",
    "known_clusters",
    "url_of",
]

ENVIRONMENT: Final = "the environment"
_OWN_NAME: Final = "oscar"
_FALSE: Final = frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """The REST API of one cluster and the credentials for it.

    `endpoint` may have a path, which is kept. Of several credentials the first counts: `token` (an
    OIDC access token), `refresh_token` (exchanged at its issuer), `account` (of oidc-agent), `user`
    with `password`. `source` says where they were found.
    """

    id: str
    endpoint: str
    user: str = ""
    password: Secret | None = None
    token: Secret | None = None
    refresh_token: Secret | None = None
    account: str = ""
    ssl_verify: bool = True
    source: str = ""

    @property
    def method(self) -> str:
        """How requests prove who they come from, in words; "" for not at all."""
        if self.token:
            return "OIDC access token"
        if self.refresh_token:
            return "OIDC refresh token"
        if self.account:
            return f"oidc-agent account {self.account}"
        return f"user {self.user}" if self.user and self.password else ""


def access_in(document: Document, name: str) -> ClusterAccess:
    """The access to a cluster that a document names. See `access_to` for the errors."""
    cluster = document.clusters.get(name)
    spec = document.targets.get(name)
    if cluster is None and spec is not None and spec.settings.get("endpoint"):
        cluster = _of_settings(name, spec.settings)
    return access_to(name, cluster)


def access_to(
    name: str,
    cluster: Cluster | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    home: Path | None = None,
) -> ClusterAccess:
    """What is known of a cluster: from the file, the environment, and oscar-cli's file.

    The environment's credentials never go to another endpoint than the environment's own, when it
    names one. UsageError without an endpoint, AccessError without credentials.
    """
    found = ClusterAccess(name, "")
    if cluster is not None:
        password = cluster.auth_password or None
        found = replace(
            found,
            endpoint=url_of(name, cluster.endpoint),
            user=cluster.auth_user,
            password=password,
            ssl_verify=cluster.ssl_verify,
            source="the FDL file",
        )
    if not found.method:
        found = _completed(found, _of_environment(name, environ))
    if not found.method:
        found = _completed(found, _of_oscar_cli(home).get(name))
    return _checked(found)


def known_clusters(
    *, environ: Mapping[str, str] = os.environ, home: Path | None = None
) -> tuple[ClusterAccess, ...]:
    """The clusters that are known without a file: the environment's, else all of oscar-cli's."""
    own = _of_environment(_OWN_NAME, environ)
    if own is not None and own.endpoint:
        return (own,)
    found = _of_oscar_cli(home)
    return tuple(one for name, one in found.items() if name != DEFAULT and one.endpoint)


def default_cluster(known: Iterable[ClusterAccess]) -> ClusterAccess | None:
    """The one of these clusters that oscar-cli's file calls the default; None for none."""
    name = Profiles().default
    return next((one for one in known if one.id == name), None)


def chosen_cluster(cluster: str, manager: str) -> ClusterAccess | None:
    """The cluster that a user has named, or the one at the URL `manager`; None for no choice.

    Its credentials are the environment's or those that oscar-cli has for it. UsageError for both,
    and as `access_to`.
    """
    if cluster and manager:
        raise UsageError("--cluster and --manager name two clusters", hint="leave one of them out")
    if manager:
        url = url_of("--manager", manager)
        named = (name for name, one in _of_oscar_cli(None).items() if one.endpoint == url)
        name = next(named, _OWN_NAME)
        return access_to(name, Cluster(name, endpoint=url))
    if cluster:
        known = {one.id: one for one in known_clusters()}
        return known.get(cluster) or access_to(cluster)
    return None


def _completed(found: ClusterAccess, more: ClusterAccess | None) -> ClusterAccess:
    """The access with another's credentials, unless they are for another place."""
    if more is None or (found.endpoint and more.endpoint and found.endpoint != more.endpoint):
        return found
    return replace(
        more,
        id=found.id,
        endpoint=found.endpoint or more.endpoint,
        user=more.user or found.user,
        password=more.password or found.password,
        ssl_verify=found.ssl_verify and more.ssl_verify,
    )


def _checked(found: ClusterAccess) -> ClusterAccess:
    if not found.endpoint:
        raise UsageError(
            f"cluster {found.id} has no endpoint",
            hint=f"write it under clusters.{found.id}, set OSCAR_ENDPOINT, or have it in "
            "oscar-cli's file; `oscar-bridge doctor` says which clusters it knows",
        )
    if not found.method:
        raise AccessError(
            f"there are no credentials for cluster {found.id} at {found.endpoint}",
            hint="set OSCAR_USERNAME and OSCAR_PASSWORD, or OSCAR_TOKEN; or write auth_user and "
            f"auth_password under clusters.{found.id}",
        )
    return found


def _of_settings(name: str, settings: Mapping[str, Any]) -> Cluster:
    password = settings.get("auth_password")
    return Cluster(
        name,
        endpoint=str(settings["endpoint"]),
        auth_user=str(settings.get("auth_user") or ""),
        auth_password=password if isinstance(password, Secret) else None,
        ssl_verify=_flag(settings.get("ssl_verify")),
    )


def _of_environment(name: str, environ: Mapping[str, str]) -> ClusterAccess | None:
    found = ClusterAccess(
        name,
        url_of(name, environ.get("OSCAR_ENDPOINT", "")),
        user=environ.get("OSCAR_USERNAME", ""),
        password=_secret(environ.get("OSCAR_PASSWORD")),
        token=_secret(environ.get("OSCAR_TOKEN")),
        source=ENVIRONMENT,
    )
    return found if found.endpoint or found.method else None


def _of_oscar_cli(home: Path | None) -> dict[str, ClusterAccess]:
    """The clusters of oscar-cli's file by id; its default stands under `default-cluster` too."""
    profiles = Profiles(home)
    found = {name: _of_entry(name, one, profiles.path) for name, one in profiles.clusters.items()}
    default = found.get(profiles.default)
    return found | ({DEFAULT: default} if default else {})


def _of_entry(name: str, entry: Mapping[str, Any], path: Path) -> ClusterAccess:
    return ClusterAccess(
        name,
        url_of(name, str(entry.get("endpoint") or "")),
        user=str(entry.get("auth_user") or ""),
        password=_secret(entry.get("auth_password")),
        refresh_token=_secret(entry.get("oidc_refresh_token")),
        account=str(entry.get("oidc_account_name") or ""),
        ssl_verify=_flag(entry.get("ssl_verify")),
        source=str(path),
    )


def url_of(name: str, text: str) -> str:
    """The endpoint without a slash at its end; credentials in it are refused, as URLs are shown."""
    url = text.strip().rstrip("/")
    if url and not url.startswith(("http://", "https://")):
        raise UsageError(f"the endpoint of cluster {name} is not an http:// or https:// URL")
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise UsageError(
            f"the endpoint of cluster {name} has credentials in it",
            hint="write them as auth_user and auth_password",
        )
    return url


def _secret(value: object) -> Secret | None:
    return Secret(str(value)) if value else None


def _flag(value: object) -> bool:
    return str(value).strip().lower() not in _FALSE
