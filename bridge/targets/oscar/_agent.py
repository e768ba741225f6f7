"""Access tokens from oidc-agent, which keeps a user's refresh tokens: by its `oidc-token`."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import Final

from bridge.errors import AccessError, MissingToolError

__all__ = ["AgentTokens"]

_PROGRAM: Final = "oidc-token"
_SECONDS: Final = 30
# The agent is asked for one that lasts at least so long, and asked again a little earlier.
_LASTS: Final = 60
_KEPT: Final = 45.0


class AgentTokens:
    """Gives an access token of an account, which the agent renews. Thread-safe."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._lock = threading.Lock()
        self._token = ""
        self._until = 0.0

    def current(self) -> str:
        """The token's text. AccessError when the agent gives none, MissingToolError without it."""
        with self._lock:
            if not self._token or time.monotonic() > self._until:
                self._until = time.monotonic() + _KEPT
                self._token = self._asked()
            return self._token

    def drop(self) -> None:
        """Forget the access token, which was refused before its end."""
        with self._lock:
            self._token = ""

    def _asked(self) -> str:
        command = [_PROGRAM, f"--time={_LASTS}", "--", self._account]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=_SECONDS
            )
        except FileNotFoundError:
            raise MissingToolError(
                f"the program {_PROGRAM} of oidc-agent is not installed",
                hint="install oidc-agent, or add the cluster with other credentials",
            ) from None
        except (OSError, subprocess.TimeoutExpired) as error:
            said = f"{_PROGRAM} gave no token: {type(error).__name__}"
            raise AccessError(said, hint=self._hint) from None
        token = done.stdout.strip()
        if done.returncode or not token:
            said = f"oidc-agent gave no token for the account {self._account}"
            raise AccessError(said, hint=self._hint)
        return token

    @property
    def _hint(self) -> str:
        return f"start the agent and load the account: oidc-add {self._account}"
