"""The operator port."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import cast
from urllib.parse import urlsplit

from hypercorn.typing import HTTPScope
from quart import Response, request

from gateway.services import Services
from gateway.web import responses
from gateway.web.app import GatewayApp, current_request
from gateway.web.errors import ForeignHostError, ForeignPageError
from gateway.web.operator_access import EVERYBODY, admit, needs
from gateway.web.paths import understand_usernames
from gateway.web.resources import serve_on
from processes.host_header import is_ours

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # No page elsewhere can embed an answer, and so learn from success or failure what it was ...
    "Cross-Origin-Resource-Policy": "same-origin",
    # ... nor put a frame around it, nor keep a hand on the window that it opened.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Of every answer of this port that does not have them otherwise."""

_OURS = {"same-origin", "none"}
"""From where a browser says that a request comes; `none`: its person typed the address."""


def operator_app(services: Services) -> GatewayApp:
    """The application for those who run the gateway."""
    app = GatewayApp("operator", services)
    understand_usernames(app)
    serve_on(app, "operator")

    @cache
    def description() -> bytes:
        from gateway.web.openapi import openapi  # what it imports is seldom needed

        return openapi(services.settings)

    @needs(EVERYBODY)
    @app.get("/openapi.json")
    async def openapi_json() -> Response:
        """Give the description of the API that programs read (OpenAPI)."""
        return responses.answer(200, description())

    ours = services.settings.host_names | {services.settings.operator_host}

    @app.before_request
    async def refuse_foreign_hosts() -> None:
        """A page on the web can make its own name point to this port (DNS rebinding)."""
        if not is_ours(request.headers.get("Host", ""), ours):
            raise ForeignHostError(
                "The Host header names somebody else. Use an IP address or localhost, or add the "
                "name to CERROJO_ALLOWED_HOSTS"
            )

    @app.before_request
    async def refuse_foreign_pages() -> None:
        """A page elsewhere has no business here, but for a link that a person follows."""
        headers = request.headers
        site = headers.get("Sec-Fetch-Site")
        if site is None:  # a browser says only that to some addresses
            is_ours_too = is_own_page(headers.get("Origin"), headers.get("Host", ""), ours)
        else:
            is_followed = headers.get("Sec-Fetch-Dest") == "document" and request.method == "GET"
            is_ours_too = site in _OURS or is_followed
        if not is_ours_too:
            raise ForeignPageError("A page elsewhere may not ask this port")

    @app.before_request
    async def refuse_strangers() -> None:
        """An endpoint says whom it is for. What is none is answered with 404 or 405."""
        asked = current_request()
        if asked.endpoint is not None:
            await admit(services, cast(HTTPScope, asked.scope), app.view_functions[asked.endpoint])

    @app.after_request
    async def protect(response: Response) -> Response:
        """Tell browsers what others may do with an answer: nothing."""
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return app


def is_own_page(origin: str | None, host: str, ours: Collection[str]) -> bool:
    """Whether a page of this origin is one of this port's, or none is said to ask.

    A proxy in front may have changed the Host; then the page's name is one of ours.
    """
    if origin is None:
        return True
    try:
        address = urlsplit(origin)
        return address.netloc.lower() == host.lower() != "" or address.hostname in ours
    except ValueError:
        return False
