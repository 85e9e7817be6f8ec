"""Requests made up from the description of the API are answered as it says."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import urlopen

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema

from tests.acceptance.system import RunningSystem

EXAMPLES = 20  # valid ones for each operation, and as many that are not

OPERATIONS = [
    ("POST", "/login"),
    ("POST", "/register"),
    ("GET", "/blocked"),
    ("GET", "/blocked/{user}"),
    ("DELETE", "/blocked/{user}"),
    ("GET", "/attempts"),
    ("GET", "/metrics"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
]

WITH_INPUT = [("POST", "/login"), ("POST", "/register"), ("GET", "/blocked"), ("GET", "/attempts")]


@pytest.fixture(scope="module")
def described(system: RunningSystem) -> BaseSchema:
    """The description that the operator port gives of both ports."""
    with urlopen(f"{system.operator_url}/openapi.json") as response:  # noqa: S310  # http
        return schemathesis.openapi.from_dict(json.load(response))


def test_everything_is_described(described: BaseSchema):
    """Each operation of both ports is in the description, and nothing else."""
    found = set()
    for result in described.get_all_operations():
        assert isinstance(result, Ok)
        found.add((result.ok().method.upper(), result.ok().path))
    assert found == set(OPERATIONS)


@pytest.mark.parametrize(
    ("mode", "method", "path"),
    [
        *((GenerationMode.POSITIVE, *operation) for operation in OPERATIONS),
        *((GenerationMode.NEGATIVE, *operation) for operation in WITH_INPUT),
    ],
    ids=str,
)
def test_answers_are_as_described(
    system: RunningSystem, described: BaseSchema, mode: GenerationMode, method: str, path: str
):
    """The status is a documented one and no 500, and the body is of its form."""
    url = system.login_url if path in ("/login", "/register") else system.operator_url
    operation = described[path][method]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),  # a busy machine is slow
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case[Any]) -> None:
        answer = case.call(base_url=url, session=session)
        assert answer.status_code < 500 or answer.status_code == 503
        case.validate_response(
            answer,
            checks=[
                status_code_conformance,
                content_type_conformance,
                response_headers_conformance,
                response_schema_conformance,
            ],
        )

    with requests.Session() as session:
        check()
