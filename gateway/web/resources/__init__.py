"""The resources of both ports: a file for each, a function for each endpoint.

`RESOURCES` is what the applications serve, what OpenAPI describes and what the tests go through.
Only /openapi.json is outside: it is made from RESOURCES, and is in `gateway.web.operator_app`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from quart import Blueprint, Quart

from gateway.web.resources import (
    accounts,
    attacks,
    attempts,
    blocked,
    console,
    exposition,
    health,
    live,
    login,
    operator_session,
    password,
    policy,
    register,
    sessions,
    verdicts,
)

Port = Literal["login", "operator"]


class Resource(NamedTuple):
    """Endpoints that belong together, and the ports that serve them; OpenAPI names the last one."""

    blueprint: Blueprint
    ports: tuple[Port, ...]


RESOURCES = (
    Resource(login.blueprint, ("login",)),
    Resource(register.blueprint, ("login",)),
    Resource(password.blueprint, ("login",)),
    Resource(verdicts.blueprint, ("login",)),
    Resource(sessions.blueprint, ("login",)),
    Resource(blocked.blueprint, ("operator",)),
    Resource(accounts.blueprint, ("operator",)),
    Resource(attempts.blueprint, ("operator",)),
    Resource(attacks.blueprint, ("operator",)),
    Resource(live.blueprint, ("operator",)),
    Resource(policy.blueprint, ("operator",)),
    Resource(exposition.blueprint, ("operator",)),
    Resource(health.alive, ("login", "operator")),
    Resource(health.started, ("login", "operator")),
    Resource(health.ready, ("operator",)),
    Resource(console.blueprint, ("operator",)),
    Resource(operator_session.blueprint, ("operator",)),
)


def serve_on(app: Quart, port: Port) -> None:
    """Let the application serve the resources of this port."""
    for resource in RESOURCES:
        if port in resource.ports:
            app.register_blueprint(resource.blueprint)
