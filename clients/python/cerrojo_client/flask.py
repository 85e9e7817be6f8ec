"""An extension for Flask."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Request, abort, current_app, request

from cerrojo_client import Cerrojo, OnUndecided, Verdict


class CerrojoLogin:
    """Reads CERROJO_URL, CERROJO_TOKEN and CERROJO_DEADLINE_SECONDS of the app's configuration.

    ``source`` gives the person's IP address: `Request.remote_addr` may be that of a proxy.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        on_undecided: OnUndecided,
        source: Callable[[Request], str | None] = lambda request: None,
    ) -> None:
        self._on_undecided = on_undecided
        self._source = source
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Give this application a client."""
        app.extensions["cerrojo"] = Cerrojo.configured(app.config.get)

    def verdict(self, user: str, check: Callable[[], bool]) -> Verdict:
        """Whether the login of this request succeeds, for a page of one's own."""
        client: Cerrojo = current_app.extensions["cerrojo"]
        return client.login(
            user,
            check,
            on_undecided=self._on_undecided,
            source=self._source(request),
            user_agent=request.headers.get("User-Agent"),
        )

    def login(self, user: str, check: Callable[[], bool]) -> None:
        """Return if the login succeeds; else abort with 400, 401, 403, 429 or 503."""
        verdict = self.verdict(user, check)
        if verdict.retry_after is not None:
            abort(verdict.status, verdict.sentence, retry_after=verdict.retry_after)
        if not verdict.lets_in:
            abort(verdict.status, verdict.sentence)
