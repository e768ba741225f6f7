"""The environment of a user's script, made anew for each job."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping

from bridge.events import Event, original

# What starts a supervisor is no business of the script; the next job must not see it either.
_OURS = frozenset(
    {
        "EVENT",
        "EVENT_TIME",
        "FDL",
        "FUNCTION_CONFIG",
        "INPUT_FILE_PATH",
        "JOB_UUID",
        "OSCAR_SERVICE_NAME",
        "SCRIPT",
        "STORAGE_OBJECT_KEY",
        "TMP_INPUT_DIR",
        "TMP_OUTPUT_DIR",
    }
)
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_PROFILE",
)
_OWN_PREFIX = "BRIDGE_"
# Where plain processes run jobs, those of a job are found by it when its supervisor was killed.
_MARK = "BRIDGE_TASK"
_QUERY_PREFIX = "CONT_VAR_"
# A launcher that changes a variable for us keeps the user's value under this prefix ("" for none).
_SAVED_PREFIX = "BRIDGE_ORIG_"
# Linux refuses to start a program with a longer variable (128 KiB with its name).
_LONGEST = 120_000


def script_environment(
    event: Event,
    *,
    service: str,
    job: str,
    folders: Mapping[str, str],
    input_path: str,
    variables: Mapping[str, str],
    credentials: bool,
) -> dict[str, str]:
    """All variables of one job's script; nothing of another job's.

    From weakest to strongest: this process's own without our settings and (unless `credentials`)
    AWS's credentials, the service's `variables`, the query as CONT_VAR_*, and the job contract's.
    EVENT is left out when Linux could not pass it; the input file has it then.
    """
    env = {k: v for k, v in os.environ.items() if not _hidden(k, credentials)}
    for name, value in _saved():
        env.pop(name, None)
        if value:
            env[name] = value
    env["TMPDIR"] = folders["TMPDIR"]
    env |= {k: v for k, v in variables.items() if _passes(k, v)}
    query = {f"{_QUERY_PREFIX}{k}": v for k, v in event.query.items()}
    env |= {k: v for k, v in query.items() if _passes(k, v)}
    env |= {**folders, "TMPDIR": env["TMPDIR"], "JOB_UUID": job, "OSCAR_SERVICE_NAME": service}
    env |= {k: v for k, v in _of_event(event, input_path).items() if v and _passes(k, v)}
    return env


def _of_event(event: Event, input_path: str) -> dict[str, str]:
    body = original(event)
    values = {
        "INPUT_FILE_PATH": input_path,
        "EVENT": body if isinstance(body, str) else json.dumps(body),
    }
    if event.is_storage:
        values |= {"STORAGE_OBJECT_KEY": event.key, "EVENT_TIME": event.time}
    return values


def _hidden(name: str, credentials: bool) -> bool:
    if name == _MARK:
        return False
    if name in _OURS or name.startswith((_OWN_PREFIX, _QUERY_PREFIX)):
        return True
    return not credentials and name.startswith(_CREDENTIALS)


def _saved() -> Iterator[tuple[str, str]]:
    for name, value in os.environ.items():
        if name.startswith(_SAVED_PREFIX):
            yield name.removeprefix(_SAVED_PREFIX), value


def _passes(name: str, value: str) -> bool:
    """False for what no environment can hold."""
    if not name or "=" in name or "\0" in name or "\0" in value:
        return False
    return len(name) + len(value.encode("utf-8", "surrogateescape")) < _LONGEST
