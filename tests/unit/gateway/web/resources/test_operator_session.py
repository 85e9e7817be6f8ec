"""The console's login: what its cookie is, and to whom it is given."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.operators import Operator, Role, digest_of
from gateway.web import operator_access
from gateway.web.operator_app import operator_app
from gateway.web.resources import operator_session
from settings import Settings

TOKEN = "a-token-of-ana"
COOKIE = f"cerrojo-operator={TOKEN}; Path=/; HttpOnly; SameSite=Strict"
GONE = "cerrojo-operator=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"


class Database:
    """Runs a query without a connection."""

    async def run(self, query: Callable[[Any], Awaitable[Any]], _seconds: float) -> Any:
        """What it gives."""
        return await query(None)


@pytest.fixture(autouse=True)
def ana(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Is the only operator; who was noted as having logged in."""
    noted: list[str] = []

    async def note(_connection: object, operator: Operator, _source: str | None) -> None:
        noted.append(operator.name)

    async def select(_connection: object, digest: bytes) -> Operator | None:
        return Operator("ana", Role.OPERATE) if digest == digest_of(TOKEN.encode()) else None

    async def there_are_some(_connection: object) -> bool:
        return True

    monkeypatch.setattr(operator_access, "select_operator", select)
    monkeypatch.setattr(operator_access, "has_operators", there_are_some)
    monkeypatch.setattr(operator_session, "note_operator_login", note)
    return noted


def ask(
    method: str, path: str, body: object = None, **headers: str
) -> tuple[int, dict[str, Any], str | None]:
    """The status, the body and the cookie of an answer."""

    async def exchange() -> tuple[int, dict[str, Any], str | None]:
        services = SimpleNamespace(settings=Settings(), database=Database())
        client = operator_app(cast(Any, services)).test_client(use_cookies=False)
        options: dict[str, Any] = {} if body is None else {"json": body}
        answer = await client.open(
            path, method=method, headers={"Host": "localhost", **headers}, **options
        )
        return (
            answer.status_code,
            json.loads(await answer.get_data()),
            answer.headers.get("Set-Cookie"),
        )

    return asyncio.run(exchange())


def test_a_login_is_noted_for_others_to_hear_of(ana: list[str]) -> None:
    """Each one, and nothing that is none."""
    ask("GET", "/operator", Cookie=f"cerrojo-operator={TOKEN}")
    ask("POST", "/session", {"token": "another"})
    ask("DELETE", "/session")
    assert ana == []
    ask("POST", "/session", {"token": TOKEN})
    assert ana == ["ana"]


def test_a_token_is_taken_into_a_cookie_of_this_host() -> None:
    """No script reads it, and no page elsewhere has it sent along."""
    said = {"operator": "ana", "role": "operate"}
    assert ask("POST", "/session", {"token": f" {TOKEN}\n"}) == (200, said, COOKIE)
    _, _, by_https = ask("POST", "/session", {"token": TOKEN}, Origin="https://localhost")
    assert by_https == f"{COOKIE}; Secure"
    assert ask("GET", "/operator", Cookie=f"cerrojo-operator={TOKEN}") == (200, said, None)


@pytest.mark.parametrize("body", [{"token": "another"}, {"token": ""}])
def test_no_other_token_is(body: dict[str, str]) -> None:
    """401, and no cookie."""
    status, error, cookie = ask("POST", "/session", body)
    assert (status, error["code"], cookie) == (401, "unauthorized", None)


@pytest.mark.parametrize("body", [{}, {"token": 1}, {"token": "a", "more": 1}, []])
def test_what_is_no_login_is_refused(body: object) -> None:
    """400, and what it must be."""
    status, error, cookie = ask("POST", "/session", body)
    assert (status, error["code"], cookie) == (400, "invalid", None)


def test_a_cookie_that_is_worth_nothing_goes() -> None:
    """As when its token is revoked, or its owner logs out."""
    nobody = {"operator": None}
    assert ask("GET", "/operator") == (200, nobody, None)
    assert ask("GET", "/operator", Cookie="cerrojo-operator=former") == (200, nobody, GONE)
    assert ask("DELETE", "/session", Cookie=f"cerrojo-operator={TOKEN}") == (200, nobody, GONE)
