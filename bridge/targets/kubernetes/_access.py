"""Which cluster, and with which credentials: kubeconfig, or the pod that this process runs in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.errors import AccessError, MissingToolError, UsageError
from bridge.targets.kubernetes.settings import DEFAULT_NAMESPACE, ClusterSettings

__all__ = ["Access", "load"]

_TOKEN: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_CONNECTIONS: Final = 32


@dataclass(frozen=True, slots=True)
class Access:
    """A cluster. `client` is the official client's configuration, which renews credentials."""

    name: str
    namespace: str
    client: Any

    @property
    def host(self) -> str:
        """The API server's URL."""
        return str(self.client.host).rstrip("/")

    def headers(self) -> dict[str, str]:
        """What says who we are; asked before each call, as tokens expire."""
        found = self.client.auth_settings().values()
        return {one["key"]: one["value"] for one in found if one["in"] == "header" and one["value"]}


def load(settings: ClusterSettings, folder: Path | None = None) -> Access:
    """Read the configuration; the order is that of `ClusterSettings`.

    Keys that the configuration has in itself are written to files in `folder` (default: the
    system's, until this process ends: when it is killed, they stay).
    MissingToolError without the client, UsageError when there is no configuration, AccessError when
    it cannot be used.
    """
    try:
        from kubernetes import config
        from kubernetes.client.configuration import Configuration
        from kubernetes.config import ConfigException
    except ImportError as error:
        raise MissingToolError(
            "targets on Kubernetes need its client", hint="pip install 'oscar-bridge[kubernetes]'"
        ) from error
    client = Configuration()
    client.connection_pool_maxsize = _CONNECTIONS
    path = settings.kubeconfig or os.environ.get("KUBECONFIG", "")
    try:
        if not path and _TOKEN.is_file():
            config.load_incluster_config(client_configuration=client)
            return Access("in-cluster", settings.namespace or DEFAULT_NAMESPACE, client)
        path = path or str(Path.home() / ".kube" / "config")
        _check(path)
        contexts, current = config.list_kube_config_contexts(path)
        chosen = _context(contexts, current, settings.context, path)
        config.load_kube_config(
            path,
            chosen["name"],
            client_configuration=client,
            persist_config=False,
            temp_file_path=None if folder is None else str(folder),
        )
    except ConfigException as error:
        raise AccessError(f"the Kubernetes configuration cannot be used: {error}") from error
    namespace = settings.namespace or chosen["context"].get("namespace") or DEFAULT_NAMESPACE
    return Access(str(chosen["name"]), str(namespace), client)


def _check(path: str) -> None:
    if not any(Path(one).expanduser().is_file() for one in path.split(os.pathsep)):
        raise UsageError(
            f"there is no Kubernetes configuration at {path}",
            hint="set KUBECONFIG, or `kubeconfig` in the settings of the target",
        )


def _context(contexts: Any, current: Any, wanted: str, path: str) -> Any:
    if not wanted:
        return current
    for one in contexts:
        if one["name"] == wanted:
            return one
    names = ", ".join(str(one["name"]) for one in contexts)
    raise UsageError(f"{path} has no context {wanted!r}", hint=f"there are: {names}")
