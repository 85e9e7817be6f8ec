"""The operator port."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from quart import request

from gateway.app import GatewayApp
from gateway.errors import ForeignHostError
from gateway.resources import attempts, blocked, console, exposition, health
from gateway.services import Services


def operator_app(services: Services) -> GatewayApp:
    """The application for those who run the gateway."""
    app = GatewayApp("operator", services)
    app.url_map.merge_slashes = False  # a username may have two in a row
    for resource in (attempts, blocked, console, exposition):
        app.register_blueprint(resource.blueprint)
    app.register_blueprint(health.alive)
    app.register_blueprint(health.ready)

    @app.before_request
    async def refuse_foreign_hosts() -> None:
        """A page on the web can make its own name point to this port (DNS rebinding)."""
        if not is_ours(request.headers.get("Host", ""), services.settings.operator_host):
            raise ForeignHostError(
                "The Host header names somebody else. Use an IP address, localhost, a name "
                "without dots, or the one in CERROJO_OPERATOR_HOST"
            )

    return app


def is_ours(host: str, ours: str) -> bool:
    """Whether nobody but the owner of this machine's network can have given it this name."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == ours or "." not in name or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
