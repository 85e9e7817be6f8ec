"""Requests made up from the description of the API are answered as it says."""

from __future__ import annotations

import pytest
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema

from tests.acceptance.system import RunningSystem
from tests.fuzz.described import CASES, OPERATIONS, check, description, is_on_login_port

EXAMPLES = 20  # valid ones for each operation, and as many that are not


@pytest.fixture(scope="module")
def described(system: RunningSystem) -> BaseSchema:
    """The description that the operator port gives of both ports."""
    return description(system.operator_url)


def test_everything_is_described(described: BaseSchema):
    """Each operation of both ports is in the description, and nothing else."""
    found = set()
    for result in described.get_all_operations():
        assert isinstance(result, Ok)
        found.add((result.ok().method.upper(), result.ok().path))
    assert found == set(OPERATIONS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_answers_are_as_described(
    system: RunningSystem, described: BaseSchema, case: tuple[GenerationMode, str, str]
):
    """The status is a documented one and no 500, and the body is of its form."""
    _, method, path = case
    url = system.login_url if is_on_login_port(method, path) else system.operator_url
    check(described, url, case, EXAMPLES)
