"""Times of day as numbers and as text."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def now_ms() -> int:
    """Milliseconds since 1970, as Kafka's append times are."""
    return int(time.time() * 1000)


def iso(ms: int) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    at = _BEGINNING + timedelta(milliseconds=ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
