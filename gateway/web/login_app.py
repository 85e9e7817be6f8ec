"""The login port."""

from __future__ import annotations

from functools import partial

from gateway.services import LoginServices
from gateway.web.app import GatewayApp
from gateway.web.load_shedding import LoadShedder
from gateway.web.paths import understand_usernames
from gateway.web.resources import login, serve_on, sessions, verdicts


def login_app(services: LoginServices) -> GatewayApp:
    """The application with /login, /register, /password, /attempts and /session."""
    app = GatewayApp("login", services)
    understand_usernames(app)
    app.load_shedder = LoadShedder(services)
    app.direct["POST", "/login"] = partial(login.answer_login, services)
    app.direct["POST", "/attempts"] = partial(verdicts.answer_attempt, services)
    app.direct["GET", "/session"] = partial(sessions.answer_session, services)
    serve_on(app, "login")
    return app
