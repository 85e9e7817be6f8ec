"""What in a worker is not of the simulated world is made repeatable."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from workers import worker


@pytest.fixture(autouse=True)
def _repeatable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A heartbeat each time there can be one, and no words about it."""
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr(worker, "log", Silence())
    yield
    structlog.reset_defaults()


class Silence:
    """Takes what a worker logs."""

    def info(self, *_: object, **__: object) -> None:
        """Nothing."""

    warning = error = info
