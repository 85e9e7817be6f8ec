"""The user whom the middleware reads is the one whom the view reads, or the login is refused."""

from __future__ import annotations

import json
from typing import Literal

import pytest

from cerrojo_client.login_form import BODY_MAX, LoginForm, Settled
from cerrojo_client.verdict import blocked

FORM_TYPE = "application/x-www-form-urlencoded"


def login_form(reads: Literal["form", "json"] = "form") -> LoginForm:
    """As many logins are."""
    return LoginForm(
        paths=["/login"], user_field="username", right={302}, no_outcome={403}, reads=reads
    )


@pytest.mark.parametrize(
    ("body", "user"),
    [
        (b"username=ana&password=x", "ana"),
        (b"password=x&username=Jos%C3%A9+Luis", "José Luis"),
        (b"username=ana%3Bb%26c&password=", "ana;b&c"),
        (b"username=", ""),
    ],
)
def test_a_form_is_read_as_browsers_send_it(body: bytes, user: str):
    """With every character that a name may have."""
    assert login_form().user(FORM_TYPE, "next=/home", body) == user


@pytest.mark.parametrize(
    ("content_type", "query", "body", "status"),
    [
        # One view takes the first, another one the last.
        (FORM_TYPE, "", b"username=decoy&username=ana", 400),
        (FORM_TYPE, "", b"username=decoy;username=ana", 400),
        (FORM_TYPE, "username=decoy", b"username=ana", 400),
        (FORM_TYPE, "", b"user%6eame=decoy&username=ana", 400),
        # One takes the bytes for Latin-1, another one for UTF-8.
        (FORM_TYPE, "", "username=añ".encode(), 400),
        (FORM_TYPE, "", b"username=a%F1a", 400),
        (FORM_TYPE, "", b"username=a%zza", 400),
        (FORM_TYPE + "; charset=cp037", "", b"username=ana", 415),
        (FORM_TYPE + "; charset=utf-8; charset=cp037", "", b"username=ana", 415),
        (FORM_TYPE + "; charset*=utf-8''cp037", "", b"username=ana", 415),
        # Others could read another user in it.
        ("multipart/form-data; boundary=x", "", b"username=ana", 415),
        ("application/json", "", b'{"username":"ana"}', 415),
        (FORM_TYPE + ",application/json", "", b"username=ana", 415),
        ("", "", b"username=ana", 415),
        (FORM_TYPE, "", b"user=ana", 400),
        (FORM_TYPE, "", b"", 400),
        (FORM_TYPE, "", b"username=ana&x=" + b"y" * BODY_MAX, 413),
        (FORM_TYPE, "", b"&".join([b"username=ana", *[b"x=y"] * 1000]), 400),
    ],
)
def test_what_two_programs_may_read_differently_is_refused(
    content_type: str, query: str, body: bytes, status: int
):
    """A guess would else count for the decoy."""
    with pytest.raises(Settled) as settled:
        login_form().user(content_type, query, body)
    assert settled.value.verdict.status == status
    assert not settled.value.verdict.may_tell


@pytest.mark.parametrize("charset", ["; charset=UTF-8", ';charset="utf-8"', " ; charset=utf8"])
def test_utf_8_may_be_said(charset: str):
    """As some clients do."""
    assert login_form().user(FORM_TYPE + charset, "", b"username=ana") == "ana"


def test_json_is_read_where_the_view_reads_json():
    """At its top level."""
    body = json.dumps({"username": "José", "more": {"username": "ben"}}).encode()
    assert login_form("json").user("application/json", "", body) == "José"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"username":"decoy","username":"ana"}', 400),
        (b'{"username":["ana"]}', 400),
        (b'{"username":null}', 400),
        (b'["username","ana"]', 400),
        (b"{", 400),
        (b"[" * 60_000, 400),
        ('{"username":"ana"}'.encode("utf-16"), 400),
        (b"\xff", 400),
    ],
)
def test_json_that_may_be_read_differently_is_refused(body: bytes, status: int):
    """As with forms."""
    with pytest.raises(Settled) as settled:
        login_form("json").user("application/json", "", body)
    assert settled.value.verdict.status == status


@pytest.mark.parametrize(
    ("method", "path", "concerned"),
    [
        ("POST", "/login", True),
        ("POST", "/login/", True),
        ("POST", "/login\n", True),
        ("POST", "/login\n/", True),
        ("POST", "//login", True),
        ("POST", "///login//", True),
        ("PUT", "/login", True),
        ("GET", "/login", False),
        ("POST", "/logout", False),
    ],
)
def test_every_method_that_sends_a_form_is_a_login(method: str, path: str, concerned: bool):
    """The view may take another one than POST."""
    assert login_form().concerns(method, path) == concerned


def test_a_status_that_is_not_known_is_a_wrong_password():
    """Whatever it says, it may depend on the password."""
    form = login_form()
    assert [form.is_right(status) for status in (302, 200, 401, 418, 500)] == [
        *(True, False, False, False, False)
    ]
    for status in (403, 307, 308):
        with pytest.raises(Settled) as settled:
            form.is_right(status)
        assert settled.value.verdict.may_tell
    assert LoginForm(paths=["/login"], user_field="u", right={307}).is_right(307)


@pytest.mark.parametrize("length", [None, "", "-1", "1e3", "٣", "chunked"])
def test_a_length_is_needed(length: str | None):
    """Where a server does not say where a body ends."""
    with pytest.raises(Settled) as settled:
        login_form().size(length)
    assert settled.value.verdict.status == 411


def test_no_more_is_read_than_shows_that_it_is_too_much():
    """Whatever is announced."""
    assert login_form().size("17") == 17
    assert login_form().size("9" * 5000) == BODY_MAX + 1


def test_the_refusal_speaks_the_view_s_language():
    """A sentence, in JSON where the view speaks JSON."""
    status, headers, body = login_form().refusal(blocked(7))
    assert (status, body) == (429, b"Too many wrong passwords; try again in 7 seconds")
    assert dict(headers)["Retry-After"] == "7"
    assert dict(headers)["Content-Length"] == str(len(body))
    _, headers, body = login_form("json").refusal(blocked(7))
    assert dict(headers)["Content-Type"] == "application/json"
    assert json.loads(body) == {"error": "Too many wrong passwords; try again in 7 seconds"}


@pytest.mark.parametrize("paths", ["/login", [], ["login"], ["/login", "login"]])
def test_paths_that_would_guard_nothing_are_refused(paths: list[str] | str):
    """Else the login runs without Cerrojo, and nobody hears of it."""
    with pytest.raises(ValueError, match="begin with a slash"):
        LoginForm(paths=paths, user_field="username", right={302})


def test_paths_may_come_one_by_one():
    """They guard the second login, too."""
    form = LoginForm(paths=iter(["/login"]), user_field="username", right={302})
    assert [form.concerns("POST", "/login") for _ in range(2)] == [True, True]
