"""The login port."""

from __future__ import annotations

from functools import partial

from gateway.app import GatewayApp
from gateway.door import Door
from gateway.resources import health, login, register
from gateway.services import LoginServices


def login_app(services: LoginServices) -> GatewayApp:
    """The application with POST /login and /register."""
    app = GatewayApp("login", services)
    app.door = Door(services)
    app.direct["POST", "/login"] = partial(login.answer_login, services)
    app.register_blueprint(login.blueprint)
    app.register_blueprint(register.blueprint)
    app.register_blueprint(health.alive)
    return app
