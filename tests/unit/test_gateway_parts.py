"""The gateway's small parts: verdicts, addresses, limits, sockets, pages."""

from __future__ import annotations

import json
import socket
from contextlib import closing

import pytest

from events.messages import FOREVER, Decision, Verdict
from gateway import files
from gateway.documentation import openapi
from gateway.errors import (
    ApiError,
    BadRequestError,
    BlockedError,
    BlockedForGoodError,
    UnavailableError,
    WrongPasswordError,
)
from gateway.operator_app import is_ours
from gateway.queries import limit, text
from gateway.resources.login import conclude
from gateway.services import blocked
from gateway.sockets import listen
from gateway.times import iso
from settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("decision", "right", "until_ms", "outcome"),
    [
        (Decision.ACCEPTED, True, 0, None),
        (Decision.REJECTED, False, 0, WrongPasswordError),
        (Decision.REJECTED, False, FOREVER, WrongPasswordError),
        (Decision.ACCEPTED, False, 0, UnavailableError),
        (Decision.REJECTED, True, 0, UnavailableError),
        (Decision.BLOCKED, True, FOREVER, BlockedForGoodError),
        (Decision.BLOCKED, False, FOREVER, BlockedForGoodError),
        (Decision.BLOCKED, True, 1, BlockedError),
        (Decision.BLOCKED, False, 1, BlockedError),
    ],
)
def test_it_takes_both_to_get_in(
    decision: Decision, right: bool, until_ms: int, outcome: type[ApiError] | None
) -> None:
    """Only an accepting verdict on a right password opens; the rest is what the log says."""
    verdict = Verdict(b"0" * 16, "ana", decision, until_ms)
    if outcome is None:
        conclude(verdict, right)
    else:
        with pytest.raises(outcome):
            conclude(verdict, right)


@pytest.mark.parametrize(
    ("until_ms", "seconds"), [(5_001, 2), (5_000, 1), (4_001, 1), (4_000, 1), (3_000, 1)]
)
def test_the_wait_is_rounded_up(until_ms: int, seconds: int) -> None:
    """Who waits as long as it says does not come too early, nor at once."""
    error = blocked(until_ms, 4_000)
    assert error.headers == {"Retry-After": str(seconds)}


def test_every_unavailable_says_when_to_try_again() -> None:
    """A 503 has Retry-After."""
    assert UnavailableError("Away").headers == {"Retry-After": "1"}


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:5000", True),
        ("[::1]:5000", True),
        ("localhost:5000", True),
        ("cerrojo.localhost", True),
        ("gateway:5000", True),
        ("", True),
        ("ops.example.org:5000", True),
        ("evil.example.com:5000", False),
        ("127.0.0.1.example.com", False),
        ("[::1.x", False),
    ],
)
def test_hosts_that_are_ours(host: str, ours: bool) -> None:
    """A name that somebody on the Internet can own is refused, except the configured one."""
    assert is_ours(host, "ops.example.org") is ours


@pytest.mark.parametrize(
    "value", ["0", "-1", "1.5", "x", "", "1001", "9" * 5000, "\u0661", "1_0", " 1"]
)
def test_limits_that_are_none(value: str) -> None:
    """Only plain numbers in the range are taken."""
    with pytest.raises(BadRequestError, match="limit must be a number from 1 to 1000"):
        limit({"limit": value}, 10, 1000)


def test_limits() -> None:
    """The usual one is for those who give none."""
    assert limit({}, 10, 1000) == 10
    assert limit({"limit": "1000"}, 10, 1000) == 1000


@pytest.mark.parametrize("value", ["a\0b", "a" * 257])
def test_texts_that_postgres_cannot_take(value: str) -> None:
    """They are the client's mistake and no error of the server."""
    with pytest.raises(BadRequestError, match="after"):
        text({"after": value}, "after")


def test_times_are_in_utc_to_the_millisecond() -> None:
    """Also those that no clock of today shows."""
    assert iso(1_795_492_589_007) == "2026-11-24T03:56:29.007Z"


def test_a_taken_port_is_named_with_its_setting() -> None:
    """The sentence has the variable, the value and the way out."""
    with closing(listen("login_host", "127.0.0.1", "login_port", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"CERROJO_LOGIN_PORT is {port}.*to a free port"):
            listen("login_host", "127.0.0.1", "login_port", port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host"])
def test_a_host_that_is_not_here_is_named_with_its_setting(host: str) -> None:
    """The sentence has the variable, the value and the way out."""
    with pytest.raises(SettingsError, match=f"CERROJO_OPERATOR_HOST is '{host}'.*127.0.0.1"):
        listen("operator_host", host, "operator_port", 0)


def test_the_listener_does_not_block() -> None:
    """Several processes accept from it, and only one gets each connection."""
    with closing(listen("login_host", "127.0.0.1", "login_port", 0)) as listener:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert not listener.getblocking()


def test_the_documentation_has_every_path_and_port() -> None:
    """What programs read about the API is complete and says which port each path is on."""
    described = json.loads(openapi(Settings(login_port=3100, operator_port=5100)))
    ports = {path: item["servers"][0]["url"][-4:] for path, item in described["paths"].items()}
    assert ports == {
        "/login": "3100",
        "/register": "3100",
        "/blocked": "5100",
        "/blocked/{user}": "5100",
        "/attempts": "5100",
        "/metrics": "5100",
        "/healthz": "5100",
        "/readyz": "5100",
    }


def test_no_page_needs_the_internet() -> None:
    """Everything that a page loads comes from this port; nothing is inline, which CSP forbids."""
    for name, (body, content_type) in files.read_all().items():
        if "html" in content_type:
            page = body.decode()
            assert "//" not in page.replace("http://www.w3.org", ""), name
            assert "<style" not in page, name
            assert "<script>" not in page, name
