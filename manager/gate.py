"""Credentials at the door of every route."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Final

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from manager.access import may_see, owns
from manager.auth import (
    Authenticator,
    Caller,
    Refused,
    bearer,
    is_pair,
    is_service_token,
    user_of,
)
from manager.core import Manager
from manager.service import Deployed
from manager.threads import CapacityLimiter, in_one_of
from manager.throttle import Throttle

__all__ = ["Gate", "address_of"]

# More than may wait for providers of OpenID Connect at once.
_THREADS: Final = 32
# Credentials that are wrong or no credentials at all; not those of somebody who may not.
_BROKEN: Final = 400
_WRONG: Final = (_BROKEN, 401)
_REALM: Final = {"WWW-Authenticate": 'Basic realm="Authentication Required"'}


def address_of(request: HTTPConnection) -> str:
    """Where a request is from, as far as trusted proxies say."""
    return request.client.host if request.client else ""


class Gate:
    """Says who a request is from, and which service it may call.

    `threads` are for what is asked before a request is let in: it must not wait for the work of
    those that were.
    """

    def __init__(self, manager: Manager, authenticators: Sequence[Authenticator]) -> None:
        self._manager = manager
        self._authenticators = authenticators
        self._throttle = Throttle(manager.settings.limits)
        self.threads = CapacityLimiter(_THREADS)

    @property
    def user(self) -> Any:
        """A route's dependency: the caller. 401 without credentials that are right."""

        return Depends(self._who)

    @property
    def admin(self) -> Any:
        """A route's dependency: the administrator. 401 without credentials, 403 for others."""

        async def who(request: Request) -> Caller:
            caller = await self._who(request)
            if not caller.admin:
                raise Refused(403, "only the administrator may do this")
            return caller

        return Depends(who)

    async def _who(self, request: Request) -> Caller:
        header = request.headers.get("authorization", "")
        return await in_one_of(self.threads, self._caller, header, address_of(request))

    def _caller(self, authorization: str, address: str) -> Caller:
        with self._limited(authorization, address):
            return self._proved(authorization)

    def called(self, name: str, authorization: str, address: str) -> tuple[Deployed, Caller]:
        """The service that may be called with this header, and by whom; raises Refused.

        The credentials are looked at first: without right ones nobody learns which services exist.
        """
        with self._limited(authorization, address):
            return self._called(name, authorization)

    def opened(self, name: str, headers: Sequence[str], address: str) -> tuple[Deployed, str]:
        """The service, and the first of these headers that may call it; raises Refused.

        A server may use the header itself: wrong ones are not counted where another is right, but
        for those that may be guesses at the administrator's password.
        """
        refusal = Refused(401)
        for header in headers:
            guess = user_of(header) == self._manager.settings.user
            try:
                with self._limited(header, address) if guess else nullcontext():
                    return self._called(name, header, hidden=403)[0], header
            except Refused as error:
                refusal = error
        with self._limited(" ".join(headers), address):
            raise refusal

    def let_in(self, name: str, header: str, address: str) -> None:
        """Whether this header is the service's name and token; raises Refused."""
        one = self._manager.find(name)
        with self._limited(header, address):
            if one is None or not is_pair(header, name, one.token):
                raise Refused(401, headers=_REALM)

    def is_store(self, authorization: str) -> bool:
        """Whether this is the token that the object store sends events with."""
        expected = self._manager.settings.webhook_token.reveal().encode()
        return bool(expected) and hmac.compare_digest(bearer(authorization).encode(), expected)

    def store(self, authorization: str, address: str) -> None:
        """Refused for who is not the object store that sends events."""
        with self._limited(authorization, address):
            if not self.is_store(authorization):
                raise Refused(401, headers={"WWW-Authenticate": "Bearer"})

    @contextmanager
    def _limited(self, authorization: str, address: str) -> Iterator[None]:
        """Count what is wrong, and answer only so much of it."""
        name = user_of(authorization)
        if name:
            self._throttle.check(address, name)
        try:
            yield
        except Refused as error:
            if authorization and error.status in _WRONG:
                # A token is not guessed: right ones are taken whatever came from there before.
                self._throttle.check(address, name)
                self._throttle.wrong(address, name)
            raise
        self._throttle.right(address, name)

    def _proved(self, authorization: str) -> Caller:
        for one in self._authenticators:
            found = one.authenticate(authorization)
            if found is not None:
                return found
        raise Refused(401)

    def _called(
        self, name: str, authorization: str, *, hidden: int = 404
    ) -> tuple[Deployed, Caller]:
        token = bearer(authorization)
        if is_service_token(token):
            return self._by_token(name, token)
        if not authorization:
            raise Refused(401)
        try:
            caller = self._proved(authorization)
        except Refused as error:
            if error.status != _BROKEN:
                raise
            # Who calls hears of a token that is none what he hears of a wrong one.
            raise Refused(401, error.text) from None
        one = self._manager.find(name)
        if one is None or not may_see(caller, one):
            raise Refused(404 if one is None else hidden)
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
