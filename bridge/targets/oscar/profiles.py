"""`~/.oscar-cli/config.yaml`, the file in which oscar-cli and we keep a user's clusters.

{oscar: {<id>: {endpoint, auth_user, auth_password, oidc_account_name, oidc_refresh_token,
                ssl_verify, memory, log_level}}, default: <id>}
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bridge.errors import NotFoundError, PermanentError, UsageError
from bridge.secret import Secret

__all__ = ["DEFAULT", "Profiles"]

DEFAULT: Final = "default-cluster"
"""What FDL files call the default cluster, whichever it is; no cluster's own name."""

_CREDENTIALS: Final = ("auth_user", "auth_password", "oidc_account_name", "oidc_refresh_token")
# What oscar-cli writes of a cluster beside its access.
_OTHERS: Final = {"memory": "256Mi", "log_level": "INFO"}


class Profiles:
    """The clusters in the file, as they were when it was read. What it holds else is kept.

    Comments are not: oscar-cli does not keep them either. Of two programs that change it at once
    one wins. PermanentError for a file that cannot be read, and then nothing is written.
    """

    def __init__(self, home: Path | None = None) -> None:
        self.path = (home or Path.home()) / ".oscar-cli" / "config.yaml"
        self._content = self._read()

    @property
    def clusters(self) -> Mapping[str, Mapping[str, Any]]:
        """What is known of each cluster, by its name; secrets are plain text."""
        found = self._content.get("oscar")
        known = found if isinstance(found, dict) else {}
        return {str(name): one for name, one in known.items() if isinstance(one, dict)}

    @property
    def default(self) -> str:
        """The default cluster; "" for none."""
        return str(self._content.get("default") or "")

    def add(
        self,
        name: str,
        endpoint: str,
        *,
        user: str = "",
        password: Secret | None = None,
        account: str = "",
        refresh_token: Secret | None = None,
        ssl_verify: bool = True,
    ) -> None:
        """Put a cluster, in the place of one of that name; the first one is the default too."""
        if not name or name == DEFAULT:
            raise UsageError(f"{name!r} is not a name for a cluster")
        given = (user, _revealed(password), account, _revealed(refresh_token))
        known = self.clusters
        entry = {
            **_OTHERS,
            **known.get(name, {}),
            "endpoint": endpoint,
            **dict(zip(_CREDENTIALS, given, strict=True)),
            "ssl_verify": ssl_verify,
        }
        first = {} if known else {"default": name}
        self._put(self._clusters_with(name, entry), **first)

    def remove(self, name: str) -> None:
        """Forget a cluster. NotFoundError when it is not there."""
        self._check(name)
        left = {key: one for key, one in self._all().items() if str(key) != name}
        self._put(left, default="" if self.default == name else self.default)

    def set_default(self, name: str) -> None:
        """Make a cluster the default one. NotFoundError when it is not there."""
        self._check(name)
        self._put(self._all(), default=name)

    def _check(self, name: str) -> None:
        if name not in self.clusters:
            hint = "oscar-bridge cluster list"
            raise NotFoundError(f"{self.path} has no cluster {name!r}", hint=hint)

    def _all(self) -> dict[Any, Any]:
        found = self._content.get("oscar")
        return dict(found) if isinstance(found, dict) else {}

    def _clusters_with(self, name: str, entry: Mapping[str, Any]) -> dict[Any, Any]:
        others = {key: one for key, one in self._all().items() if str(key) != name}
        return {**others, name: dict(entry)}

    def _read(self) -> dict[str, Any]:
        if not self.path.is_file():
            return {}
        import yaml  # noqa: PLC0415  most users have no such file

        try:
            content = yaml.safe_load(self.path.read_text())
        except (OSError, ValueError, yaml.YAMLError) as error:
            # Its text may hold secrets, and YAML's own messages quote it.
            raise PermanentError(f"{self.path} cannot be read: {type(error).__name__}") from None
        if content is not None and not isinstance(content, dict):
            raise PermanentError(f"{self.path} cannot be read: it is not a mapping")
        return content or {}

    def _put(self, clusters: Mapping[Any, Any], **more: str) -> None:
        """Write the file anew, whole or not at all, for its owner only."""
        import yaml  # noqa: PLC0415  as above

        content = {**self._content, "oscar": dict(clusters), **more}
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        # A link stays one: some keep their settings elsewhere.
        path = self.path.resolve()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made with mode 0600.
            with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
                try:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                    Path(file.name).replace(path)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise PermanentError(f"cannot write {self.path}: {error.strerror}") from error
        self._content = content


def _revealed(secret: Secret | None) -> str:
    return secret.reveal() if secret else ""
