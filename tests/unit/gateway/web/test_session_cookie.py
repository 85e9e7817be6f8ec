"""The cookie of a session."""

from __future__ import annotations

import pytest

from gateway.web.session_cookie import SessionCookie
from settings import Settings

SECURE = SessionCookie(Settings(session_seconds=60))
PLAIN = SessionCookie(Settings(session_seconds=60, session_cookie="plain"))


def test_only_https_and_no_script_has_it() -> None:
    """And no other host of the domain can set it, unless plain http is asked for."""
    attributes = "Path=/; HttpOnly; SameSite=Lax"
    assert SECURE.give("a.b.c") == f"__Host-cerrojo=a.b.c; Max-Age=60; {attributes}; Secure"
    assert SECURE.take_away() == f"__Host-cerrojo=; Max-Age=0; {attributes}; Secure"
    assert PLAIN.give("a.b.c") == f"cerrojo=a.b.c; Max-Age=60; {attributes}"
    assert PLAIN.take_away() == f"cerrojo=; Max-Age=0; {attributes}"


@pytest.mark.parametrize(
    ("cookies", "token"),
    [
        ([], None),
        ([b""], None),
        ([b"__Host-cerrojo=a.b.c"], b"a.b.c"),
        ([b"theme=dark; __Host-cerrojo=a.b.c; more"], b"a.b.c"),
        ([b"theme=dark", b"__Host-cerrojo=a.b.c"], b"a.b.c"),
        ([b"cerrojo=a.b.c"], None),
        ([b"x__Host-cerrojo=a.b.c"], None),
        ([b"x=__Host-cerrojo=a.b.c"], None),
        ([b"__Host-cerrojo"], b""),
        ([b"__Host-cerrojo=\xff=;"], b"\xff="),
    ],
)
def test_it_is_found_among_others(cookies: list[bytes], token: bytes | None) -> None:
    """A plain one is none where a secure one is wanted: any host of the domain may have set it."""
    headers = [(b"host", b"example.com"), *((b"cookie", value) for value in cookies)]
    assert SECURE.token_in(headers) == token
