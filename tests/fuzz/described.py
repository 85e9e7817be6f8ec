"""Requests made up from the description of the API, answered as it says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema

from gateway.web.openapi import openapi
from settings import Settings
from tests.fuzz.finding import FoundError
from tests.harness.operators import OPERATOR

SETTINGS = Settings(login_port=3000, operator_port=5000)
PATHS = json.loads(openapi(SETTINGS))["paths"]

_DESCRIBED = {
    (method.upper(), path): operation
    for path, methods in PATHS.items()
    for method, operation in methods.items()
    if method in ("get", "post", "put", "patch", "delete")
}
OPERATIONS = sorted(_DESCRIBED)
"""All of RESOURCES: an endpoint that is added there is tried here."""

WITH_INPUT = sorted(
    operation
    for operation, described in _DESCRIBED.items()
    if "requestBody" in described or any(p["in"] == "query" for p in described["parameters"])
)

CASES = [
    *((GenerationMode.POSITIVE, *operation) for operation in OPERATIONS),
    *((GenerationMode.NEGATIVE, *operation) for operation in WITH_INPUT),
]
"""What is as it is described, for each operation, and what is not, where there is input."""


def description(operator_url: str) -> BaseSchema:
    """The description that the operator port gives of both ports."""
    with urlopen(f"{operator_url}/openapi.json") as response:  # noqa: S310  # http
        return schemathesis.openapi.from_dict(json.load(response))


def is_on_login_port(method: str, path: str) -> bool:
    """Whether the description says so of this operation."""
    server = PATHS[path][method.lower()]["servers"][0]
    return bool(server["url"].endswith(f":{SETTINGS.login_port}"))


def check(
    described: BaseSchema,
    url: str,
    case: tuple[GenerationMode, str, str],
    examples: int,
    seeded: int | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> None:
    """Ask so many times; the status is a documented one and no 500, and the body is of its form.

    Without a seed the examples are always the same. `told` gets 1 for each request. Raises what
    the first request that is answered otherwise raises, with the request in its text.
    """
    mode, method, path = case
    operation = described[path][method]

    @settings(
        max_examples=examples,
        derandomize=seeded is None,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),  # a busy machine is slow
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        answer = case.call(base_url=url, session=session)
        told(1)
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
        if not is_on_login_port(method, path):
            session.headers.update(OPERATOR)
        (ask if seeded is None else seed(seeded)(ask))()


def run(
    login_url: str,
    operator_url: str,
    seeded: int,
    count: int,
    told: Callable[[int], None] = lambda _: None,
) -> Counter[str]:
    """Ask so often, in equal shares for all operations; how often each was asked.

    An operation without input has few different requests and is asked less often. Raises
    :class:`FoundError`.
    """
    counts: Counter[str] = Counter()
    described = description(operator_url)
    for case in CASES:
        mode, method, path = case
        url = login_url if is_on_login_port(method, path) else operator_url

        def note(number: int, name: str = f"{method} {path}, {mode.value}") -> None:
            counts[name] += number
            told(number)

        try:
            check(described, url, case, count // len(CASES), seeded, note)
        except Exception as error:
            raise FoundError(f"described-{method}", [str(error).encode()], str(error)) from error
    return counts
