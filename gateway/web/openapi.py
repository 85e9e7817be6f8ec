"""The API in OpenAPI's words, collected from the resources themselves."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterable
from typing import Any, cast

import msgspec
from msgspec import Struct
from quart import Quart
from quart_schema import (
    Info,
    QuartSchema,
    document_headers,
    document_querystring,
    document_request,
    document_response,
    hide,
    security_scheme,
)
from quart_schema.openapi import HttpSecurityScheme, OpenAPIProvider

from gateway.live import LiveFigures
from gateway.operators import Role
from gateway.web import responses
from gateway.web.credentials import Reason, WholePolicy
from gateway.web.examples import (
    ANSWERS,
    BODIES,
    CODES,
    CODES_OF,
    CURSOR,
    ERRORS,
    NOT_READY,
    OF_OPERATORS,
    PARAMETERS,
)
from gateway.web.operator_access import EVERYBODY, NEEDS, Need
from gateway.web.paths import understand_usernames
from gateway.web.resources import RESOURCES, Port
from gateway.web.schemas import (
    DESCRIPTIONS,
    Attempts,
    Description,
    Error,
    LiftedOne,
    Readiness,
    Undecided,
)
from gateway.web.service_attempts import ServiceHeaders
from settings import Settings
from version import VERSION

_SERVICE = "service"
"""The name of the scheme by which services show their tokens."""

_SESSION = "session"
"""And of that by which the token of a session is shown, if not by the cookie."""


_OPERATOR = "operator"
"""And of that of operators."""


def openapi(settings: Settings) -> bytes:
    """The description of both ports, in JSON."""
    # QuartSchema would cost each request something, so it sees the resources in an application
    # of its own that serves nobody.
    app = Quart("documentation", static_folder=None)
    understand_usernames(app)
    schema = QuartSchema(
        app,
        openapi_path=None,
        info=Info(title="Cerrojo", version=VERSION, description="Logins, locked at exactly five."),
        conversion_preference="msgspec",
        security_schemes=dict.fromkeys(
            (_SERVICE, _SESSION, _OPERATOR), HttpSecurityScheme(scheme="bearer")
        ),
    )
    for resource in RESOURCES:
        app.register_blueprint(resource.blueprint)
    _describe_handlers()
    described = OpenAPIProvider(app, schema).schema()
    ports = {resource.blueprint.name: resource.ports[-1] for resource in RESOURCES}
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        handler = app.view_functions[rule.endpoint]
        description, need = DESCRIPTIONS[handler], NEEDS.get(handler, EVERYBODY)
        for method, operation in described["paths"].get(path, {}).items():
            if method.upper() in (rule.methods or ()):  # both ports may have the path
                port = ports[rule.endpoint.split(".")[0]]
                _complete(operation, rule.endpoint, port, description, need)
                operation["servers"] = [_server(settings, operation["tags"][0])]
    # quart-schema leaves out what other schemas refer to.
    models = {model for each in DESCRIPTIONS.values() for model in each.answers.values()}
    models.add(WholePolicy)  # of a body
    _, schemas = msgspec.json.schema_components(models, ref_template="#/components/schemas/{name}")
    described["components"]["schemas"] = dict(sorted(schemas.items()))
    # It knows only JSON.
    described["paths"]["/metrics"]["get"]["responses"][200] = {
        "headers": {"X-Request-ID": _REQUEST_ID},
        "description": "Prometheus' text format.",
        "content": {"text/plain": {"schema": {"type": "string"}, "example": _METRICS}},
    }
    described["paths"]["/attempts"]["get"]["responses"][200]["content"] |= _lines(
        "A line of JSON for each decision", _A_PAGE.attempts
    )
    described["paths"]["/blocked"]["delete"]["responses"][200]["content"] = _lines(
        "A line of JSON for each account", ANSWERS[LiftedOne].values()
    )
    event = f"data: {responses.encode(ANSWERS[LiveFigures]['a second']).decode()}\n\n"
    described["paths"]["/live"]["get"]["responses"][200]["content"][responses.EVENTS] = {
        "schema": {"type": "string", "description": "An event a second"},
        "example": event,
    }
    return responses.encode(described)


def _lines(description: str, examples: Iterable[Struct]) -> dict[str, Any]:
    """The content of an answer in lines of JSON."""
    text = "".join(f"{responses.encode(one).decode()}\n" for one in examples)
    schema = {"type": "string", "description": description}
    return {responses.NDJSON: {"schema": schema, "example": text}}


_METRICS = '# TYPE cerrojo_logins_total counter\ncerrojo_logins_total{result="accepted"} 17.0\n'
_A_PAGE = cast(Attempts, ANSWERS[Attempts]["a page"])

_REQUEST_ID = {
    "description": "By which operators find the log lines about the request",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    "example": "5f0c6f8e1d2b4a3c9e8d7c6b5a493827",
}
_RETRY_AFTER = {
    "description": "Seconds until the same request may be granted",
    "schema": {"type": "string", "pattern": "^[0-9]+$"},
    "example": "1",
}
_LINK = {
    "description": "The address of the next page, where there is one",
    "schema": {"type": "string"},
    "example": f'</attempts?after={CURSOR}>; rel="next"',
}
_OF_EVERY_PATH: dict[Port, tuple[int, ...]] = {"login": (500,), "operator": (403, 421, 500)}
"""The statuses of errors that any request may have, by the port."""


def _server(settings: Settings, port: Port) -> dict[str, str]:
    addresses = {
        "login": (settings.login_host, settings.login_port),
        "operator": (settings.operator_host, settings.operator_port),
    }
    host, number = addresses[port]
    host = f"[{host}]" if ":" in host else host
    return {"url": f"http://{host}:{number}", "description": port}


def _complete(
    operation: dict[str, Any], endpoint: str, port: Port, description: Description, need: Need
) -> None:
    """Give an operation what quart-schema does not: examples, headers, and what all have."""
    operation["tags"] = [port]
    operation["operationId"] = endpoint.replace(".", "_")
    for parameter in operation["parameters"]:
        name = parameter["name"]
        if parameter["in"] == "path":
            parameter["example"] = PARAMETERS[name]
        else:  # not with the parameter: the viewer would ask with all of them at once
            parameter["schema"]["examples"] = [PARAMETERS[name]]
        parameter.setdefault("description", _DESCRIBED.get(name, ""))
    if description.body:
        [content] = operation["requestBody"]["content"].values()
        content["example"] = msgspec.to_builtins(BODIES[description.body])
        operation["requestBody"]["required"] = description.body is not Reason  # see read_reason
    answers: dict[int, type[Struct]] = dict.fromkeys(_OF_EVERY_PATH[port], Error)
    codes = dict(CODES)
    if need != EVERYBODY:
        answers |= {401: Error, 503: Error}  # Postgres says whose a token is
        codes |= OF_OPERATORS
    codes |= CODES_OF.get(endpoint, {})
    for status, model in sorted((answers | description.answers).items()):
        common = {"description": inspect.getdoc(Error), "content": _ERROR_CONTENT}
        answer = copy.deepcopy(operation["responses"].get(status, common))
        operation["responses"][status] = answer
        answer["headers"] = {"X-Request-ID": _REQUEST_ID}
        if status in (429, 503):
            answer["headers"]["Retry-After"] = _RETRY_AFTER
        if status == 200 and any(one["name"] == "after" for one in operation["parameters"]):
            answer["headers"]["Link"] = _LINK
        examples = _examples(model, status, codes)
        answer["content"]["application/json"]["examples"] = {
            name: {"value": value} for name, value in examples.items()
        }
        if model in (Error, Undecided):
            answer["content"][responses.PROBLEM] = {
                "schema": _problem_schema(answer["content"]["application/json"]["schema"]),
                "examples": {
                    name: {"value": responses.problem_details(status, value)}
                    for name, value in examples.items()
                },
            }


_DESCRIBED = {
    "user": "The name of the account",
    "idempotency-key": inspect.getdoc(ServiceHeaders),
}
_ERROR_CONTENT = {"application/json": {"schema": msgspec.json.schema(Error)["$defs"]["Error"]}}


def _examples(
    model: type[Struct], status: int, codes: dict[int, tuple[str, ...]]
) -> dict[str, Any]:
    if model is Error:
        return {code: {"error": ERRORS[code], "code": code} for code in codes[status]}
    if model is Readiness and status == 503:
        return {"not ready": msgspec.to_builtins(NOT_READY)}
    return {name: msgspec.to_builtins(each) for name, each in ANSWERS[model].items()}


def _problem_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an error with the members of RFC 9457."""
    members = {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    }
    return {
        "title": "Problem",
        "type": "object",
        "properties": members | schema["properties"],
        "required": [*members, *schema["required"]],
    }


def _describe_handlers() -> None:
    """Tell QuartSchema what the resources say of themselves."""
    for handler, need in NEEDS.items():
        if need != EVERYBODY:
            # From loopback a read needs none, unless a setting says otherwise.
            none: list[dict[str, list[str]]] = [{}] if need == Role.READ else []
            security_scheme([{_OPERATOR: []}, *none])(handler)
    for handler, description in DESCRIPTIONS.items():
        for status, model in description.answers.items():
            document_response(model, status)(handler)
        if description.body:
            document_request(description.body)(handler)
        if description.query:
            document_querystring(description.query)(handler)
        if description.headers:
            document_headers(description.headers)(handler)
        if description.of_services:
            security_scheme([{_SERVICE: []}])(handler)
        if description.of_sessions:
            security_scheme([{_SESSION: []}])(handler)
        if description.hidden:
            hide(handler)
