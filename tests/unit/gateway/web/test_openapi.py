"""The description of the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.web.errors import _REFUSALS
from gateway.web.examples import ERRORS
from gateway.web.openapi import openapi
from settings import Settings
from version import VERSION

API = {
    "POST /login": "3100",
    "POST /register": "3100",
    "POST /password": "3100",
    "POST /attempts": "3100",
    "GET /attempts/{user}/block": "3100",
    "GET /session": "3100",
    "GET /.well-known/jwks.json": "3100",
    "POST /logout": "3100",
    "GET /blocked": "5100",
    "DELETE /blocked": "5100",
    "GET /blocked/{user}": "5100",
    "DELETE /blocked/{user}": "5100",
    "POST /blocked/{user}": "5100",
    "POST /accounts": "5100",
    "GET /accounts/{user}": "5100",
    "PATCH /accounts/{user}": "5100",
    "DELETE /accounts/{user}": "5100",
    "DELETE /accounts/{user}/devices": "5100",
    "PUT /accounts/{user}/password": "5100",
    "GET /attempts": "5100",
    "GET /attacks": "5100",
    "GET /live": "5100",
    "GET /policy": "5100",
    "PUT /policy": "5100",
    "GET /policy/history": "5100",
    "GET /metrics": "5100",
    "GET /healthz": "5100",
    "GET /startz": "5100",
    "GET /readyz": "5100",
}
"""The whole API with its ports: the one list that is not made from RESOURCES, and checks it."""

METHODS = {"get", "post", "put", "patch", "delete"}


def test_the_document_says_the_version() -> None:
    """Of Cerrojo itself, so that a client's maker sees what it was made for."""
    assert json.loads(openapi(Settings()))["info"]["version"] == VERSION


def test_the_documentation_has_every_path_and_port() -> None:
    """The document that programs read is complete and says which port each path is on."""
    described = json.loads(openapi(Settings(login_port=3100, operator_port=5100)))
    ports = {
        f"{method.upper()} {path}": operation["servers"][0]["url"][-4:]
        for path, item in described["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }
    assert ports == API


def test_an_address_of_ipv6_has_brackets() -> None:
    """Without them a client takes a part of it for the port."""
    described = json.loads(openapi(Settings(login_host="::1", operator_host="::1")))
    for path, url in (("/login", "http://[::1]:3000"), ("/blocked", "http://[::1]:5000")):
        for operation in described["paths"][path].values():
            assert operation["servers"][0]["url"] == url


DESCRIBED = json.loads(openapi(Settings()))
COMPONENTS = DESCRIBED["components"]
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in DESCRIBED["paths"].items()
    for method, operation in item.items()
    if method in METHODS
}


def examples(of: dict[str, Any]) -> list[Any]:
    """Those of a parameter, or of a content."""
    named = [one["value"] for one in of.get("examples", {}).values()]
    return [
        *named,
        *of["schema"].get("examples", []),
        *([of["example"]] if "example" in of else []),
    ]


def parts(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that has a schema and examples, with what it is."""
    for parameter in operation["parameters"]:
        yield parameter["name"], parameter
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"the body as {kind}", content
    for status, answer in operation["responses"].items():
        for kind, content in answer["content"].items():
            yield f"{status} as {kind}", content
        for name, header in answer["headers"].items():
            yield f"{name} of {status}", header


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_parameter_body_answer_and_error_has_examples_of_its_form(operation: str) -> None:
    """An example that is none sends its reader the wrong way."""
    for what, part in parts(OPERATIONS[operation]):
        found = examples(part)
        assert found, what
        validator = Draft202012Validator({**part["schema"], "components": COMPONENTS})
        for example in found:
            validator.validate(example)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_part_is_described_in_words(operation: str) -> None:
    """Of a viewer's columns none is empty."""
    described = OPERATIONS[operation]
    assert described["summary"]
    assert all(parameter["description"] for parameter in described["parameters"])
    assert all(answer["description"] for answer in described["responses"].values())


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_error_has_a_code_of_its_status(operation: str) -> None:
    """As programs go by it. Both forms of an error have the same code."""
    statuses = {refusal.code: refusal.status for refusal in _REFUSALS.values()} | {
        "unexpected": 500
    }
    for status, answer in OPERATIONS[operation]["responses"].items():
        for content in answer["content"].values():
            for example in examples(content):
                if isinstance(example, dict) and "error" in example:
                    assert statuses[example["code"]] == int(status)


def test_all_codes_have_an_example() -> None:
    """But for what no client sees that still waits for its answer."""
    assert {refusal.code for refusal in _REFUSALS.values()} - ERRORS.keys() == {"client_gone"}


def test_each_schema_is_one() -> None:
    """JSON Schema says what that is."""
    for schema in COMPONENTS["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_each_operation_has_a_name_of_its_own() -> None:
    """Generated clients make methods of them."""
    assert len({each["operationId"] for each in OPERATIONS.values()}) == len(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_may_take_an_operator_s_token_may_be_unavailable(operation: str) -> None:
    """Where Postgres is away, nobody knows whose the token is."""
    described = OPERATIONS[operation]
    if any("operator" in scheme for scheme in described.get("security", [])):
        assert {"401", "503"} <= described["responses"].keys()


def test_a_body_may_be_missing_only_where_it_is_just_a_reason() -> None:
    """A generated client leaves out what is not required, and would be answered 400 or 415."""
    bodies = {
        name: each["requestBody"] for name, each in OPERATIONS.items() if "requestBody" in each
    }
    assert {name for name, body in bodies.items() if not body["required"]} == {
        "DELETE /blocked/{user}",
        "DELETE /accounts/{user}",
        "DELETE /accounts/{user}/devices",
    }
