"""Whose session a request has, as far as its account has not changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import NotFoundError, RequestError, UnavailableError
from gateway.postgres.accounts import Account
from gateway.session_keys import new_key
from gateway.sessions import Sessions
from gateway.web.direct_request import DirectRequest
from gateway.web.resources.sessions import answer_session
from gateway.web.responses import Answer
from settings import Settings

NOW_MS = 1_800_000_000_000
AS_IT_WAS = Account("a hash", 7, disabled=False)


class Gateway:
    """A gateway whose database has one account, or says why it does not answer."""

    def __init__(self, file: Path, found: Account | RequestError | None = AS_IT_WAS) -> None:
        self.settings = Settings(session_keys_file=file)
        self.sessions = Sessions(self.settings, lambda: NOW_MS)
        self.account_loader = SimpleNamespace(recent_account=self._account)
        self._found = found
        self.asked: list[str] = []

    def token(self, user: str = "ana") -> bytes:
        """A session that has begun now."""
        return self.sessions.begin(self.sessions.keys(), user, AS_IT_WAS.version).encode()

    async def _account(self, user: str, seconds: float) -> Account | None:
        assert seconds == self.settings.deadline_seconds
        self.asked.append(user)
        if isinstance(self._found, RequestError):
            raise self._found
        return self._found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The keys."""
    new_key(tmp_path / "keys.json")
    return tmp_path / "keys.json"


def ask(here: object, *headers: tuple[bytes, bytes], body: Iterable[bytes] = (b"",)) -> Answer:
    """The answer to a request with these headers, whose body comes in these parts."""
    gateway: Any = here
    scope: Any = {"headers": headers}
    parts = list(body)

    async def receive() -> Any:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def answered() -> Answer:
        loop = asyncio.get_running_loop()
        return await answer_session(gateway, DirectRequest(loop, scope, receive, 1.0))

    answer = asyncio.run(answered())
    assert not parts, "the answer came before the whole request"
    return answer


def bearer(token: bytes) -> tuple[bytes, bytes]:
    """The header of a program."""
    return b"authorization", b"Bearer " + token


def cookie(token: bytes) -> tuple[bytes, bytes]:
    """The header of a browser."""
    return b"cookie", b"__Host-cerrojo=" + token


def code(answer: Answer) -> tuple[int, str, str | None]:
    """The status, the code, and what it asks for."""
    asked = dict(answer.headers).get(b"www-authenticate")
    return answer.status, json.loads(answer.body)["code"], asked.decode() if asked else None


def test_a_token_counts_from_a_program_and_from_a_browser(file: Path) -> None:
    """The program's goes first, as somebody has chosen to send it."""
    here = Gateway(file)
    for headers in (
        [bearer(here.token())],
        [(b"authorization", b"bearer   " + here.token())],
        [cookie(here.token())],
        [(b"authorization", b"Basic YW5h"), cookie(here.token())],
        [bearer(here.token()), cookie(b"nonsense")],
    ):
        answer = ask(here, *headers)
        assert (answer.status, json.loads(answer.body)) == (200, {"user": "ana", "expires_in": 900})
        assert dict(answer.headers)[b"x-cerrojo-user"] == b"ana"
        assert dict(answer.headers)[b"cache-control"] == b"no-store"
    refused = ask(here, bearer(b"nonsense"), cookie(here.token()))
    assert code(refused) == (401, "no_session", "Bearer")


def test_the_whole_request_comes_before_the_answer(file: Path) -> None:
    """The server closes the connection otherwise, while its client still sends."""
    here = Gateway(file)
    for headers, status in ([bearer(here.token())], 200), ([], 401):
        assert ask(here, *headers, body=[b"x" * 8_192, b"x" * 8_192, b""]).status == status
    answer = ask(here, bearer(here.token()), body=[b"x" * 8_192, b"x" * 8_193])
    assert code(answer) == (413, "too_large", None)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"")],
        [(b"authorization", b"Basic YW5h")],
        [cookie(b"")],
        [(b"x-cerrojo-user", b"ana")],
    ],
)
def test_without_a_token_there_is_no_session(
    file: Path, headers: list[tuple[bytes, bytes]]
) -> None:
    """And the database is not asked."""
    here = Gateway(file)
    assert code(ask(here, *headers)) == (401, "no_session", "Bearer")
    assert here.asked == []


@pytest.mark.parametrize(
    "now",
    [
        None,
        AS_IT_WAS._replace(version=8),
        AS_IT_WAS._replace(version=6),
        AS_IT_WAS._replace(disabled=True),
    ],
)
def test_a_session_ends_with_a_change_of_its_account(file: Path, now: Account | None) -> None:
    """Deleted, another password, a database that went back, disabled."""
    here = Gateway(file, now)
    assert code(ask(here, cookie(here.token()))) == (401, "no_session", "Bearer")
    assert here.asked == ["ana"]


def test_without_postgres_nobody_is_let_in(file: Path) -> None:
    """503: the account may have changed."""
    here = Gateway(file, UnavailableError("Postgres is not available; try again later"))
    answer = ask(here, cookie(here.token()))
    assert code(answer) == (503, "unavailable", None)
    assert dict(answer.headers)[b"retry-after"] == b"1"


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("ana@example.com", b"ana@example.com"),
        ("änna", b"%C3%A4nna"),
        ("100%", b"100%25"),
        ("a%20b", b"a%2520b"),
        ("<\"'&;,=+>/\\~", b"<\"'&;,=+>/\\~"),
        ("\U00020000", b"%F0%A0%80%80"),
        ("a\r\nb c\x7f\0", b"a%0D%0Ab%20c%7F%00"),  # no such name can be registered
    ],
)
def test_a_name_is_one_header_whatever_is_in_it(file: Path, user: str, shown: bytes) -> None:
    """And can be read back: %XX is a byte in UTF-8."""
    here = Gateway(file)
    assert dict(ask(here, cookie(here.token(user))).headers)[b"x-cerrojo-user"] == shown


def test_without_a_key_there_are_no_sessions_and_the_way_is_said() -> None:
    """404, with the setting and the command."""
    with pytest.raises(NotFoundError, match=r"Set CERROJO_SESSION_KEYS_FILE .* new-key FILE"):
        ask(SimpleNamespace(sessions=None), cookie(b"a.b.c"))
