"""The query parameters of the operator port."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import quote

import pytest

from events.messages import Decision
from gateway.errors import (
    InvalidInputError,
)
from gateway.passwords.precis import RAW_USER_MAX
from gateway.web.query_parameters import (
    QUERY_MAX,
    address,
    arguments,
    day,
    limit,
    moment,
    part,
    text,
    verdict,
)


@pytest.mark.parametrize(
    "value", ["0", "-1", "1.5", "x", "", "1001", "9" * 5000, "\u0661", "1_0", " 1"]
)
def test_limits_that_are_none(value: str) -> None:
    """Only plain numbers in the range are taken."""
    with pytest.raises(InvalidInputError, match="limit must be a number from 1 to 1000"):
        limit({"limit": value}, 10, 1000)


def test_limits() -> None:
    """The usual one is for those who give none."""
    assert limit({}, 10, 1000) == 10
    assert limit({"limit": "1000"}, 10, 1000) == 1000


@pytest.mark.parametrize("value", ["a\0b", "a" * 1017])
def test_texts_that_postgres_cannot_take(value: str) -> None:
    """They are the client's mistake and no error of the server."""
    with pytest.raises(InvalidInputError, match="after"):
        text({"after": value}, "after")


def test_the_longest_query() -> None:
    """A name fits whatever it is written in; a longer query is not even taken apart."""
    longest = quote("\U00010400" * RAW_USER_MAX)
    query = f"after={longest}&limit=100000".encode()
    assert len(query) <= QUERY_MAX
    assert arguments(SimpleNamespace(query_string=query, args={"limit": "1"})) == {"limit": "1"}
    with pytest.raises(InvalidInputError, match="query must have at most 13000 bytes"):
        arguments(SimpleNamespace(query_string=b"a&" * QUERY_MAX))


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:01.5", 1_500),
        ("1970-01-01T00:00:01.5Z", 1_500),
        ("1970-01-01T01:00:01.500+01:00", 1_500),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("9999-12-31T23:59:59Z", 253_402_300_799_000),
    ],
)
def test_times(value: str, ms: int) -> None:
    """What has no difference to UTC is in UTC, so that it means the same on every host."""
    assert moment({"from": value}, "from") == ms
    assert moment({}, "from") is None


@pytest.mark.parametrize("value", ["", "now", "1795858200", "2026-02-30", "9" * 5000, "\u0661"])
def test_times_that_are_none(value: str) -> None:
    """A length that is long is not even looked at."""
    with pytest.raises(InvalidInputError, match="from must be a time in ISO 8601"):
        moment({"from": value}, "from")


@pytest.mark.parametrize("value", ["", "20261128", "2026-W48-6", "2026-11-31", "today"])
def test_days_that_are_none(value: str) -> None:
    """There is one way to write a day."""
    with pytest.raises(InvalidInputError, match="day must be a day in UTC"):
        day({"day": value})


def test_days() -> None:
    """In UTC, as the audit is divided."""
    assert day({"day": "1970-01-03"}) == 2 * 86_400_000
    assert day({}) is None


def test_addresses_are_in_their_one_form() -> None:
    """As the audit has them."""
    assert address({"source": "2001:DB8:0::7"}, "source") == "2001:db8::7"
    assert address({"source": "::ffff:192.0.2.7"}, "source") == "192.0.2.7"
    assert address({}, "source") is None
    for value in ("", "localhost", "192.0.2.0/24", "fe80::1%eth0"):
        with pytest.raises(InvalidInputError, match="source must be an IP address"):
            address({"source": value}, "source")


def test_verdicts() -> None:
    """By the names that the answers have."""
    assert verdict({"verdict": "blocked"}) == Decision.BLOCKED
    assert verdict({}) is None
    for value in ("", "BLOCKED", "right"):
        with pytest.raises(InvalidInputError, match="verdict must be one of accepted, rejected"):
            verdict({"verdict": value})


def test_a_part_of_a_name_is_in_the_form_of_names() -> None:
    """A name is in small letters, and composed."""
    assert part({"text": "A\u0308NA"}, "text") == "\u00e4na"
    assert part({}, "text") == ""
