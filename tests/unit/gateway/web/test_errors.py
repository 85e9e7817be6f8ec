"""Statuses, codes and headers of errors."""

from __future__ import annotations

import json
import re

from gateway.errors import OverloadedError, UnauthorizedError, UnavailableError, WrongPasswordError
from gateway.web import responses
from gateway.web.errors import _REFUSALS, retry_after
from tests.paths import PROJECT


def test_every_unavailable_says_when_to_try_again() -> None:
    """A 503 has Retry-After."""
    assert retry_after(UnavailableError("Away")) == 1


def test_every_error_has_a_sentence_and_a_code() -> None:
    """Programs go by the code, which is another one for each kind."""
    codes = [refusal.code for refusal in _REFUSALS.values()]
    assert len(set(codes)) == len(codes)
    answer = responses.plain_refusal(WrongPasswordError())
    assert json.loads(answer.body) == {"error": "Wrong password", "code": "wrong_password"}


def test_the_page_has_every_code() -> None:
    """With its status, as the errors have them, and those of the framework."""
    page = (PROJECT / "docs" / "operations.md").read_text()
    _, _, rest = page.partition("<!-- codes: a test compares them with gateway/web/errors.py -->\n")
    table, _, _ = rest.partition("<!-- /codes -->")
    documented = set(re.findall(r"^\| `(\w+)` \| (\d+) ", table, re.MULTILINE))
    known = {(refusal.code, str(refusal.status)) for refusal in _REFUSALS.values()}
    assert documented == known | {("method_not_allowed", "405"), ("unexpected", "500")}


def test_without_a_token_a_service_hears_which_kind_is_wanted() -> None:
    """HTTP asks for it with every 401 to a request that could have one."""
    assert (b"www-authenticate", b"Bearer") in responses.plain_refusal(
        UnauthorizedError("")
    ).headers
    names = {name for name, _ in responses.plain_refusal(WrongPasswordError()).headers}
    assert b"www-authenticate" not in names


def test_undecided_is_unavailable_or_overloaded() -> None:
    """A service knows no other reason."""
    for error, code in (
        (OverloadedError("Full"), "overloaded"),
        (UnavailableError("Away"), "unavailable"),
    ):
        answer = responses.undecided(error)
        assert answer.status == 503
        assert (b"retry-after", b"1") in answer.headers
        said = json.loads(answer.body)
        assert said == {"verdict": "undecided", "error": str(error), "code": code}
