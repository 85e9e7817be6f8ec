"""The API in OpenAPI's words, collected from the resources themselves."""

from __future__ import annotations

from quart import Quart
from quart_schema import Info, QuartSchema
from quart_schema.openapi import OpenAPIProvider

from gateway import answers
from gateway.resources import attempts, blocked, exposition, health, login, register
from settings import Settings


def openapi(settings: Settings) -> bytes:
    """The description of both ports, in JSON."""
    # QuartSchema would cost each request something, so it sees the resources in an application
    # of its own that serves nobody.
    app = Quart("documentation", static_folder=None)
    schema = QuartSchema(
        app,
        openapi_path=None,
        info=Info(title="Cerrojo", version="1", description="Logins, locked at exactly five."),
        conversion_preference="msgspec",
    )
    on_login_port = (login, register)
    for resource in (*on_login_port, blocked, attempts, exposition):
        app.register_blueprint(resource.blueprint)
    app.register_blueprint(health.alive)
    app.register_blueprint(health.ready)
    described = OpenAPIProvider(app, schema).schema()
    described["paths"]["/metrics"]["get"]["responses"]["200"] = {  # quart-schema knows only JSON
        "description": "Prometheus' text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    login_server = {"url": f"http://{settings.login_host}:{settings.login_port}"}
    operator_server = {"url": f"http://{settings.operator_host}:{settings.operator_port}"}
    for path, operations in described["paths"].items():
        operations["servers"] = [login_server if path in LOGIN_PATHS else operator_server]
    return answers.encode(described)


LOGIN_PATHS = ("/login", "/register")
