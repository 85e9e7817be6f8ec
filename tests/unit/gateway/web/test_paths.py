"""A slash of a name is not one of the path."""

from __future__ import annotations

import pytest
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule

from gateway.web.paths import PartConverter, UsernameConverter, routed

RULES = Map(
    [
        Rule("/accounts/<username:user>", endpoint="account"),
        Rule("/accounts/<username:user>/devices", endpoint="devices"),
        Rule("/static/<name>", endpoint="static"),
    ],
    converters={"username": UsernameConverter, "default": PartConverter},
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


def test_a_name_beside_an_encoded_slash_may_come_as_it_is() -> None:
    """In the bytes of UTF-8, as the server takes it."""
    found = RULES.bind("localhost").match(routed("/accounts/ñ%2Fb".encode(), "/accounts/ñ/b"))
    assert found == ("account", {"user": "ñ/b"})


@pytest.mark.parametrize("path", ["//accounts/ana", "///accounts/ana", "//static/a.js", "//"])
@pytest.mark.parametrize("raw", [None, b"//accounts/a%2Fb"])
def test_more_slashes_at_the_beginning_are_no_path_of_ours(raw: bytes | None, path: str) -> None:
    """Werkzeug would find a rule by them."""
    with pytest.raises(NotFound):
        RULES.bind("localhost").match(routed(raw, path))


@pytest.mark.parametrize("path", ["/static/a%2Fb.js", "/static/..%2fapp.py", "/static%2Fa.js"])
def test_what_is_no_name_has_no_slash(path: str) -> None:
    """No file is found by one."""
    here = RULES.bind("localhost")
    assert here.match(routed(b"/static/a.js", "/static/a.js")) == ("static", {"name": "a.js"})
    with pytest.raises(NotFound):
        here.match(routed(path.encode(), ""))
