"""Errors as problem details (RFC 9457), beside what they always had."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.errors import OverloadedError, UnavailableError, WrongPasswordError
from gateway.web import responses
from gateway.web.operator_app import operator_app
from gateway.web.responses import PROBLEM
from settings import Settings

REFUSAL = responses.plain_refusal(WrongPasswordError())


def test_an_error_stays_as_it_was_for_who_asks_for_nothing_else() -> None:
    """Byte for byte: clients know it so."""
    for accept in (None, b"", b"*/*", b"application/json, text/html"):
        assert responses.problem(REFUSAL, accept) is REFUSAL
    assert REFUSAL.body == b'{"error":"Wrong password","code":"wrong_password"}'


@pytest.mark.parametrize("accept", [PROBLEM, f"application/json;q=0.9, {PROBLEM.upper()}"])
def test_whoever_accepts_it_gets_the_members_beside_the_error(accept: str) -> None:
    """With the content type, and the right length."""
    answer = responses.problem(REFUSAL, accept.encode())
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "Wrong password",
        "error": "Wrong password",
        "code": "wrong_password",
    }
    headers = dict(answer.headers)
    assert headers[b"content-type"] == PROBLEM.encode()
    assert headers[b"content-length"] == str(len(answer.body)).encode()
    assert [name for name, _ in answer.headers] == [name for name, _ in REFUSAL.headers]


def test_what_is_no_error_stays_as_it_is() -> None:
    """A login that was accepted, and a part that is not ready."""
    for answer in (responses.plain(200, b'{"success":true}'), responses.plain(503, b"{}")):
        assert responses.problem(answer, PROBLEM.encode()) is answer


def test_a_service_s_error_keeps_its_verdict() -> None:
    """It goes by that."""
    for error in (UnavailableError("away"), OverloadedError("too many")):
        answer = responses.problem(responses.undecided(error), PROBLEM.encode())
        body = json.loads(answer.body)
        assert (body["verdict"], body["status"], body["detail"]) == ("undecided", 503, str(error))
        assert (b"retry-after", b"1") in answer.headers


@pytest.mark.parametrize(
    ("path", "status"), [("/nothing", 404), ("/attempts?user=a", 400), ("/blocked?limit=x", 400)]
)
def test_the_operator_port_does_so_too(path: str, status: int) -> None:
    """Whatever made the error."""
    services = SimpleNamespace(settings=Settings(operator_reads="anyone"))

    async def ask(accept: str) -> tuple[int, Any, dict[str, Any]]:
        client = operator_app(cast(Any, services)).test_client()
        answer = await client.get(path, headers={"Host": "localhost", "Accept": accept})
        body = json.loads(await answer.get_data())
        return answer.status_code, answer.content_type, body

    found, content_type, body = asyncio.run(ask(PROBLEM))
    assert (found, content_type, body["status"]) == (status, PROBLEM, status)
    assert body["detail"] == body["error"]
    found, content_type, body = asyncio.run(ask("*/*"))
    assert (found, content_type, list(body)) == (status, "application/json", ["error", "code"])
