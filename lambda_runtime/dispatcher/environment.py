"""Where the dispatcher's things are, as the stack says in its functions' environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.errors import PermanentError
from bridge.scheduler import Trial

__all__ = ["Environment"]


@dataclass(frozen=True, slots=True)
class Environment:
    """`states` and `dead` are URLs of queues, `tokens` the name of a secret, "" for none.

    `trial` are the policies on trial.
    """

    prefix: str
    table: str
    bucket: str
    states: str
    dead: str
    region: str
    tokens: str = ""
    trial: Trial = field(default_factory=Trial)

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Environment:
        """PermanentError names the variable that is not set; UsageError for a senseless trial."""

        def given(name: str) -> str:
            if not environ.get(name):
                raise PermanentError(
                    f"{name} is not set",
                    hint="the stack of the dispatcher sets it; deploy it again",
                )
            return environ[name]

        return cls(
            prefix=given("BRIDGE_PREFIX"),
            table=given("BRIDGE_TABLE"),
            bucket=given("BRIDGE_BUCKET"),
            states=given("BRIDGE_STATES_QUEUE"),
            dead=given("BRIDGE_DEAD_QUEUE"),
            region=given("AWS_REGION"),
            tokens=environ.get("BRIDGE_TOKENS", ""),
            trial=Trial.of(environ),
        )
