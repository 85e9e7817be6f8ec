"""A dependency for FastAPI, which Starlette calls by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from cerrojo_client import AsyncCerrojo, OnUndecided

Login = Callable[[str, Callable[[], bool]], Awaitable[None]]
"""Given a user and a check of the password, returns if the login succeeds."""


class CerrojoLogin:
    """Makes a `Login` for a request: ``Depends(cerrojo)``, or ``await cerrojo(request)``.

    A login that does not succeed raises HTTPException: 400, 401, 403, 429 or 503. The check runs in
    a thread. ``source`` gives the person's IP address: the connection's may be that of a proxy.
    """

    def __init__(
        self,
        client: AsyncCerrojo,
        *,
        on_undecided: OnUndecided,
        source: Callable[[Request], str | None] = lambda request: None,
    ) -> None:
        self._client = client
        self._on_undecided = on_undecided
        self._source = source

    async def __call__(self, request: Request) -> Login:
        """The login of this request."""

        async def login(user: str, check: Callable[[], bool]) -> None:
            verdict = await self._client.login(
                user,
                lambda: run_in_threadpool(check),
                on_undecided=self._on_undecided,
                source=self._source(request),
                user_agent=request.headers.get("user-agent"),
            )
            if not verdict.lets_in:
                raise HTTPException(verdict.status, verdict.sentence, verdict.headers)

        return login
