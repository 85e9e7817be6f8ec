"""What the clients' tests share."""

from __future__ import annotations

import pytest

from tests.unit.clients.python.fake import FakeCerrojo


@pytest.fixture
def fake() -> FakeCerrojo:
    """A new one, that knows no account."""
    return FakeCerrojo()
