"""The examples for the description of the API; `test_openapi.py` holds them against the schemas."""

from __future__ import annotations

from gateway.web.cursors import after
from gateway.web.examples import CURSOR
from gateway.web.resources.attempts import _place


def test_the_cursor_is_one() -> None:
    """Whoever decodes it finds a place."""
    assert after({"after": CURSOR}, _place) == (1_795_858_200_125, 1, 17, 3)
