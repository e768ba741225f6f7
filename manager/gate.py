"""Credentials at the door of every route."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from manager.access import may_see, owns
from manager.auth import Authenticator, Caller, Refused, bearer, is_service_token
from manager.core import Manager
from manager.service import Deployed

__all__ = ["Gate"]


class Gate:
    """Says who a request is from, and which service it may call."""

    def __init__(self, manager: Manager, authenticators: Sequence[Authenticator]) -> None:
        self._manager = manager
        self._authenticators = authenticators

    @property
    def user(self) -> Any:
        """A route's dependency: the caller. 401 without credentials that are right."""

        async def who(request: Request) -> Caller:
            header = request.headers.get("authorization", "")
            return await run_in_threadpool(self.caller, header)

        return Depends(who)

    @property
    def admin(self) -> Any:
        """A route's dependency: the administrator. 401 without credentials, 403 for others."""

        async def who(request: Request) -> Caller:
            header = request.headers.get("authorization", "")
            caller = await run_in_threadpool(self.caller, header)
            if not caller.admin:
                raise Refused(403, "only the administrator may do this")
            return caller

        return Depends(who)

    def caller(self, authorization: str) -> Caller:
        """Who sent this header; raises Refused."""
        for one in self._authenticators:
            found = one.authenticate(authorization)
            if found is not None:
                return found
        raise Refused(401)

    def called(self, name: str, authorization: str) -> tuple[Deployed, Caller]:
        """The service that may be called with this header, and by whom; raises Refused.

        The credentials are looked at first: without right ones nobody learns which services exist.
        """
        token = bearer(authorization)
        if is_service_token(token):
            return self._by_token(name, token)
        if not authorization:
            raise Refused(401)
        caller = self.caller(authorization)
        one = self._manager.find(name)
        if one is None or not may_see(caller, one):
            raise Refused(404)
        return one, caller

    def _by_token(self, name: str, token: str) -> tuple[Deployed, Caller]:
        one = self._manager.find(name)
        # Compared in any case: how long it takes must not say whether there is such a service.
        right = hmac.compare_digest(one.token.reveal() if one else "0" * len(token), token)
        if one is None or not right:
            raise Refused(401)
        return one, Caller(one.owner, one.owner_name, by_token=True)

    def seen(self, name: str, caller: Caller) -> Deployed:
        """A service that the caller may see; raises Refused."""
        one = self._manager.find(name)
        if one is None:
            raise Refused(404)
        if not may_see(caller, one):
            raise Refused(403, f"the service {name} is not yours to see")
        return one

    def owned(self, name: str, caller: Caller) -> Deployed:
        """A service that the caller may change; raises Refused."""
        one = self._manager.find(name)
        if one is None or not may_see(caller, one):
            raise Refused(404)
        if not owns(caller, one):
            raise Refused(403, f"the service {name} is not yours to change")
        return one
