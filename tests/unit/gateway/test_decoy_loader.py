"""The choice of decoys is kept up to date whatever goes wrong."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from gateway import decoy_loader
from gateway.decoy_loader import DecoyLoader
from gateway.errors import UnavailableError
from gateway.passwords.decoys import Decoys
from gateway.passwords.hash_formats import present_form
from gateway.postgres.database import Query, T

PRESENT = present_form(8, 1, 1)


class Failing:
    """A database that fails in this way, and then answers."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    async def run(self, query: Query[T], seconds: float) -> T:
        """Instead of the query."""
        if self._errors:
            raise self._errors.pop(0)
        return Decoys(b"key", [], PRESENT)  # type: ignore[return-value]


@pytest.mark.parametrize("error", [UnavailableError("away"), ValueError("a bug"), OSError()])
def test_no_error_ends_the_loading(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise nobody would get in; what the database does not say itself is logged."""
    monkeypatch.setattr(decoy_loader, "RETRY_SECONDS", 0)

    async def scenario() -> None:
        loader = DecoyLoader(Failing(error, error), PRESENT, 1.0)
        loader.start()
        try:
            await asyncio.wait_for(loader.loaded(), 10.0)
        finally:
            await loader.close()

    with capture_logs() as logs:
        asyncio.run(scenario())
    said = [(line["event"], line["error"]) for line in logs]
    expected = [("The decoys cannot be loaded", type(error).__name__)]
    assert said == ([] if isinstance(error, UnavailableError) else expected)
