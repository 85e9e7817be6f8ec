"""Log lines for what may happen a thousand times a second."""

from __future__ import annotations

import time

import structlog

log = structlog.get_logger()


class Sparse:
    """Logs one line in a while and says how many it left out."""

    def __init__(self, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._next = 0.0
        self._left_out = 0

    def warning(self, event: str, **fields: object) -> None:
        """Log it, or count it for the next time."""
        now = time.monotonic()
        if now < self._next:
            self._left_out += 1
            return
        if self._left_out:
            fields["left_out_before"] = self._left_out
        self._next = now + self._seconds
        self._left_out = 0
        log.warning(event, **fields)
