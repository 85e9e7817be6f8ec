"""Hosts and pages that the operator port answers to."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.web.operator_app import HEADERS, operator_app
from settings import Settings


@pytest.mark.parametrize("name", [".localhost", "a" * 64 + ".localhost", "a..localhost", "\xff"])
def test_a_host_that_is_no_name_is_no_failure(name: str) -> None:
    """A traceback in the log for each of them would fill it."""
    status, _ = asked({"Host": name})
    assert status in (200, 421)


def test_a_proxy_s_name_is_answered_once_it_is_allowed() -> None:
    """And the refusal of any other says which setting that is."""
    services = SimpleNamespace(
        settings=Settings(operator_host="ops.example.org", allowed_hosts="login.example.org")
    )

    async def ask(host: str) -> tuple[int, dict[str, Any]]:
        client = operator_app(cast(Any, services)).test_client()
        answer = await client.get("/healthz", headers={"Host": host})
        return answer.status_code, json.loads(await answer.get_data())

    for host in ("login.example.org", "LOGIN.example.org:443", "ops.example.org"):
        assert asyncio.run(ask(host)) == (200, {"alive": True})
    status, error = asyncio.run(ask("evil.example.com"))
    assert (status, error["code"]) == (421, "foreign_host")
    assert "CERROJO_ALLOWED_HOSTS" in error["error"]


def asked(headers: dict[str, str], method: str = "GET", path: str = "/healthz") -> tuple[int, Any]:
    """The status and the headers of the answer to this request."""

    async def ask() -> tuple[int, Any]:
        client = operator_app(cast(Any, SimpleNamespace(settings=Settings()))).test_client()
        answer = await client.open(path, method=method, headers={"Host": "localhost"} | headers)
        # Where nothing was answered at all, this client says 200.
        assert method == "HEAD" or await answer.get_data()
        return answer.status_code, answer.headers

    return asyncio.run(ask())


@pytest.mark.parametrize("site", ["cross-site", "same-site", "what"])
def test_a_page_elsewhere_learns_nothing(site: str) -> None:
    """Scripts, pictures, frames and requests are refused alike, whatever the answer would be."""
    for dest in ("script", "image", "object", "iframe", "empty", "style", ""):
        for path in ("/healthz", "/blocked/anna", "/nothing", "/"):
            for method in ("GET", "HEAD", "POST", "DELETE"):
                headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": dest}
                assert asked(headers, method, path)[0] == 403
    followed = {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": "document"}
    assert asked(followed)[0] == 200
    assert asked(followed, "POST")[0] == 403
    assert asked(followed, "DELETE", "/blocked/anna")[0] == 403


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
)
def test_our_own_page_a_person_and_a_program_may_ask(headers: dict[str, str]) -> None:
    """A program says nothing of pages."""
    assert asked(headers)[0] == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/healthz", 200), ("/nothing", 404), ("/static/console.js", 200)],
)
def test_no_answer_can_be_embedded_framed_or_taken_for_another_type(path: str, status: int) -> None:
    """Also where a browser does not say which page asks; a refusal is no other than an answer."""
    found, headers = asked({}, path=path)
    assert found == status
    for name, value in HEADERS.items():
        if name not in ("Content-Security-Policy", "Cache-Control"):
            assert headers.getlist(name) == [value]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://evil.example", 403),
        ("null", 403),
        ("http://[", 403),
        ("http://localhost:81", 403),
        ("http://localhost", 200),
        ("https://LOCALHOST", 200),
        ("http://127.0.0.1:81", 200),  # the configured address: behind a proxy the Host is another
    ],
)
def test_the_origin_says_it_where_the_browser_says_no_more(origin: str, status: int) -> None:
    """As to an address that is not loopback and has no TLS; no order then hangs on a preflight."""
    assert asked({"Origin": origin})[0] == status
