"""Invocations one after the other, for as long as the environment lives."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

from bridge.errors import BridgeError, TargetUnavailable, UsageError
from bridge.supervisor import Terminated, install_signals, signal_arrived
from lambda_runtime._client import Failure, Invocation, ResponseTooLarge, RuntimeApi
from lambda_runtime._handler import Failed, Handler, failure_of, too_large
from lambda_runtime._log import Log
from lambda_runtime._scratch import Scratch

_ADDRESS: Final = "AWS_LAMBDA_RUNTIME_API"
_SIGNALLED: Final = 128


def serve(environ: Mapping[str, str]) -> int:
    """Load the service, then take invocations until the Runtime API goes away; the exit status.

    The address of the Runtime API is taken out of this process's environment: a script that knew
    it could answer for us.
    """
    try:
        api = RuntimeApi(environ.get(_ADDRESS, ""))
    except UsageError as error:
        _complain(error)
        return error.exit_status
    os.environ.pop(_ADDRESS, None)
    install_signals()
    try:
        return _serve(api, dict(environ))
    except TargetUnavailable as error:
        _complain(error)
        return 1
    except Terminated as signal:
        return _SIGNALLED + signal.number


def _serve(api: RuntimeApi, environ: Mapping[str, str]) -> int:
    log = Log()
    try:
        handler = Handler.load(environ, log)
    except BridgeError as error:
        _complain(error)
        api.fail_init(failure_of(error))
        return 1
    scratch = Scratch()
    while not signal_arrived():
        _answer(api, handler, api.next())
        for path in scratch.clean():
            log.write(f"[supervisor] cannot remove {path}\n".encode("utf-8", "replace"))
    return _SIGNALLED + signal_arrived()


def _answer(api: RuntimeApi, handler: Handler, invocation: Invocation) -> None:
    try:
        response = handler.handle(invocation)
        api.respond(invocation.id, response)
    except Failed as error:
        api.fail(invocation.id, error.failure)
    except ResponseTooLarge:
        api.fail(invocation.id, too_large())
    except BridgeError:
        raise
    except Exception as error:
        # A defect of ours: this invocation has failed, and the next gets a fresh process.
        api.fail(invocation.id, Failure(type(error).__name__, f"internal error: {error}"))
        raise


def _complain(error: BridgeError) -> None:
    hint = f" ({error.hint})" if error.hint else ""
    sys.stderr.write(f"bridge-lambda: {error.message}{hint}\n")
