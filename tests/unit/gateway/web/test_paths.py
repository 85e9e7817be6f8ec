"""A slash of a name is not one of the path."""

from __future__ import annotations

import pytest
from werkzeug.routing import Map, Rule

from gateway.web.paths import UsernameConverter, routed

RULES = Map(
    [
        Rule("/accounts/<username:user>", endpoint="account"),
        Rule("/accounts/<username:user>/devices", endpoint="devices"),
    ],
    converters={"username": UsernameConverter},
    merge_slashes=False,
)


@pytest.mark.parametrize(
    ("raw", "path", "endpoint", "user"),
    [
        (b"/accounts/ana", "/accounts/ana", "account", "ana"),
        (b"/accounts/ana/devices", "/accounts/ana/devices", "devices", "ana"),
        (b"/accounts/ana%2Fdevices", "/accounts/ana/devices", "account", "ana/devices"),
        (b"/accounts/a%2fb%2Fc/devices", "/accounts/a/b/c/devices", "devices", "a/b/c"),
        (b"/accounts/%2F%2F", "/accounts///", "account", "//"),
        (b"/accounts/a/b%2Fdevices", "/accounts/a/b/devices", "account", "a/b/devices"),
        (b"/accounts/%C3%A1%2F%252F%20", "/accounts/\xe1/%2F ", "account", "\xe1/%2F "),
        (None, "/accounts/ana/devices", "devices", "ana"),
    ],
)
def test_an_encoded_slash_belongs_to_the_name(
    raw: bytes | None, path: str, endpoint: str, user: str
) -> None:
    """Else a request for one account would be one for something of another."""
    found = RULES.bind("localhost").match(routed(raw, path))
    assert found == (endpoint, {"user": user})
