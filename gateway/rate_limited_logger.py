"""Log lines for events that may happen a thousand times a second."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

QUIET_SECONDS = 5.0
"""From one line to the next."""

logger = structlog.get_logger()


class RateLimitedLogger:
    """Logs one line in five seconds and counts the others for the next line."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = float("-inf")
        self._left_out = 0

    def warning(self, event: str, **fields: object) -> None:
        """Log it, or count it for the next time."""
        now = self._clock()
        if now < self._next:
            self._left_out += 1
            return
        if self._left_out:
            fields["left_out_before"] = self._left_out
        self._next = now + QUIET_SECONDS
        self._left_out = 0
        logger.warning(event, **fields)
