"""The device's cookie, as a browser gets and sends it."""

from __future__ import annotations

from gateway.web.device_cookie import DeviceCookie
from settings import Settings


def test_a_plain_cookie_is_for_http_too() -> None:
    """And has no name that promises more."""
    cookie = DeviceCookie(Settings(device_cookie="plain", device_days=2))
    assert cookie.give("a.b") == (
        "cerrojo-device=a.b; Max-Age=172800; Path=/; HttpOnly; SameSite=Strict"
    )


def test_it_is_found_among_others() -> None:
    """By its whole name."""
    cookie = DeviceCookie(Settings())
    headers = [
        (b"host", b"example.org"),
        (b"cookie", b"cerrojo-device=x; __Host-cerrojo=y"),
        (b"cookie", b"a=b; __Host-cerrojo-device=a.b;c=d"),
    ]
    assert cookie.value_in(headers) == b"a.b"
    assert cookie.value_in(headers[:2]) is None
