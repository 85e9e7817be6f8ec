"""Each endpoint of the operator port lets in whom it is for, and nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from quart import Response
from werkzeug.datastructures import Headers

from gateway.errors import NoOperatorsError
from gateway.operators import Operator, Role, digest_of
from gateway.web import operator_access
from gateway.web.operator_access import COOKIE, EVERYBODY, NEEDS, Need
from gateway.web.operator_app import operator_app
from settings import Settings

TOKENS = {digest_of(role.encode()): Operator(f"an {role}", role) for role in Role}
"""Each role's operator has its name as the token."""

LOOPBACK, ELSEWHERE = "127.0.0.1", "192.0.2.7"

NEEDED: dict[str, Need] = {
    "GET /": EVERYBODY,
    "GET /docs": EVERYBODY,
    "GET /static/<name>": EVERYBODY,
    "GET /openapi.json": EVERYBODY,
    "GET /healthz": EVERYBODY,
    "GET /startz": EVERYBODY,
    "GET /readyz": EVERYBODY,
    "GET /metrics": EVERYBODY,
    "GET /operator": EVERYBODY,
    "POST /session": EVERYBODY,
    "DELETE /session": EVERYBODY,
    "GET /blocked": Role.READ,
    "DELETE /blocked": Role.OPERATE,
    "GET /blocked/<username:user>": Role.READ,
    "DELETE /blocked/<username:user>": Role.OPERATE,
    "POST /blocked/<username:user>": Role.OPERATE,
    "GET /attempts": Role.READ,
    "GET /attacks": Role.READ,
    "GET /live": Role.READ,
    "GET /policy": Role.READ,
    "PUT /policy": Role.ADMINISTER,
    "GET /policy/history": Role.READ,
    "GET /accounts/<username:user>": Role.READ,
    "PATCH /accounts/<username:user>": Role.OPERATE,
    "DELETE /accounts/<username:user>/devices": Role.OPERATE,
    "POST /accounts": Role.ADMINISTER,
    "PUT /accounts/<username:user>/password": Role.ADMINISTER,
    "DELETE /accounts/<username:user>": Role.ADMINISTER,
}
"""The one list that is not made from RESOURCES, and checks it."""


class Database:
    """Runs a query without a connection."""

    async def run(self, query: Callable[[Any], Awaitable[Any]], _seconds: float) -> Any:
        """What it gives."""
        return await query(None)


class Port:
    """The operator port, with endpoints that do nothing but answer."""

    def __init__(self, **settings: Any) -> None:
        services = SimpleNamespace(settings=Settings(**settings), database=Database())
        self._app = operator_app(cast(Any, services))
        for endpoint, handler in self._app.view_functions.items():
            if endpoint == "static":
                continue

            async def answer(**_: object) -> Response:
                return Response("{}", 200)

            NEEDS[answer] = NEEDS[handler]
            self._app.view_functions[endpoint] = answer

    def endpoints(self) -> list[tuple[str, str]]:
        """All of them, by method and rule."""
        return [
            (method, rule.rule)
            for rule in self._app.url_map.iter_rules()
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        ]

    def ask(
        self, method: str, rule: str, token: str = "", client: str = LOOPBACK, **headers: str
    ) -> tuple[int, str, Headers]:
        """The status, the code and the headers of an answer."""
        path = rule.replace("<username:user>", "anna").replace("<name>", "console.js")
        sent = {"Host": "localhost", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if token:
            sent["Authorization"] = f"Bearer {token}"

        async def exchange() -> tuple[int, str, Headers]:
            answer = await self._app.test_client(use_cookies=False).open(
                path, method=method, headers=sent, scope_base={"client": (client, 4711)}
            )
            body = json.loads(await answer.get_data() or b"{}")
            return answer.status_code, body.get("code", ""), answer.headers

        return asyncio.run(exchange())


@pytest.fixture(autouse=True)
def tokens(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[bytes, Operator]]:
    """Those that are valid, which a test may take away."""
    known = dict(TOKENS)

    async def select(_connection: object, digest: bytes) -> Operator | None:
        return known.get(digest)

    async def there_are_some(_connection: object) -> bool:
        return bool(known)

    monkeypatch.setattr(operator_access, "select_operator", select)
    monkeypatch.setattr(operator_access, "has_operators", there_are_some)
    before = dict(NEEDS)
    yield known
    NEEDS.clear()
    NEEDS.update(before)


@pytest.fixture
def port() -> Port:
    """One with the defaults."""
    return Port()


def test_every_endpoint_says_whom_it_is_for(port: Port) -> None:
    """A new one stands in this list, too."""
    assert sorted(f"{method} {rule}" for method, rule in port.endpoints()) == sorted(NEEDED)


def case(one: tuple[str, Need]) -> str:
    """Its name."""
    return one[0]


@pytest.mark.parametrize("endpoint", NEEDED.items(), ids=case)
@pytest.mark.parametrize("client", [LOOPBACK, "::1", "::ffff:127.0.0.1", ELSEWHERE])
def test_a_role_may_what_it_may_and_no_more(
    port: Port, endpoint: tuple[str, Need], client: str
) -> None:
    """Of all endpoints, by each role and by none, from here and from elsewhere."""
    (method, rule), need = endpoint[0].split(), endpoint[1]
    free = need == EVERYBODY or (need == Role.READ and client != ELSEWHERE)
    for role in Role:
        status, code, _ = port.ask(method, rule, role, client)
        may = free or role.covers(cast(Role, need))
        assert (status, code) == ((200, "") if may else (403, "insufficient_scope")), role
    for token in ("", "of-nobody"):
        status, code, headers = port.ask(method, rule, token, client)
        assert (status, code) == ((200, "") if free else (401, "unauthorized"))
        assert free or headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("endpoint", NEEDED.items(), ids=case)
def test_without_any_operator_reads_work_here_and_changes_say_how_to_make_one(
    port: Port, endpoint: tuple[str, Need], tokens: dict[bytes, Operator]
) -> None:
    """Also where the last one is revoked, and its token is sent."""
    tokens.clear()
    (method, rule), need = endpoint[0].split(), endpoint[1]
    for token in ("", Role.ADMINISTER):
        free = need in (EVERYBODY, Role.READ)
        status, code, _ = port.ask(method, rule, token)
        assert (status, code) == ((200, "") if free else (403, "no_operators"))
        status, code, _ = port.ask(method, rule, token, ELSEWHERE)
        free = need == EVERYBODY
        assert (status, code) == ((200, "") if free else (403, "no_operators"))


@pytest.mark.parametrize("role", Role)
def test_the_first_operator_is_advised_with_the_role_that_is_needed(
    role: Role, tokens: dict[bytes, Operator]
) -> None:
    """With another one the next answer is 403, too."""
    tokens.clear()

    def handler() -> None:
        pass

    NEEDS[handler] = role
    services = SimpleNamespace(settings=Settings(operator_reads="token"), database=Database())
    scope = {"method": "GET", "headers": [], "client": (LOOPBACK, 4711)}
    with pytest.raises(NoOperatorsError, match=f"add NAME --role {role}`"):
        asyncio.run(operator_access.still_admits(cast(Any, services), cast(Any, scope), handler))


@pytest.mark.parametrize("reads", ["loopback", "token", "anyone"])
def test_the_setting_says_who_reads_without_a_token(reads: str) -> None:
    """And never who changes something."""
    port = Port(operator_reads=reads)
    for client in (LOOPBACK, ELSEWHERE):
        free = reads == "anyone" or (reads == "loopback" and client == LOOPBACK)
        assert port.ask("GET", "/blocked", client=client)[0] == (200 if free else 401)
        assert port.ask("GET", "/blocked", Role.READ, client)[0] == 200
        assert port.ask("DELETE", "/blocked/anna", client=client)[0] == 401


@pytest.mark.parametrize("header", ["Forwarded", "X_Forwarded_For", "X_Real_IP"])
def test_a_proxy_on_loopback_does_not_read_for_others(port: Port, header: str) -> None:
    """It is asked by people elsewhere."""
    assert port.ask("GET", "/blocked", **{header: "192.0.2.7"})[0] == 401


def test_the_console_changes_by_its_cookie_and_its_header(port: Port) -> None:
    """A page elsewhere can send neither; and the cookie is worth what its token is."""
    cookie = f"{COOKIE}={Role.OPERATE}"
    ours = {"X_Cerrojo_Console": "1", "Cookie": cookie}
    assert port.ask("DELETE", "/blocked/anna", Cookie=cookie)[:2] == (403, "foreign_page")
    assert port.ask("DELETE", "/blocked/anna", **ours)[0] == 200
    assert port.ask("DELETE", "/accounts/anna", **ours)[:2] == (403, "insufficient_scope")
    assert port.ask("GET", "/blocked", "", ELSEWHERE, Cookie=cookie)[0] == 200
    foreign = {**ours, "Sec_Fetch_Site": "same-site"}
    assert port.ask("DELETE", "/blocked/anna", **foreign)[:2] == (403, "foreign_page")


def test_what_is_no_endpoint_needs_no_token(port: Port) -> None:
    """Nor does it say that one would help."""
    assert port.ask("GET", "/nothing", client=ELSEWHERE)[0] == 404
    assert port.ask("PUT", "/blocked", client=ELSEWHERE)[0] == 405
