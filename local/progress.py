"""The progress reports of a slow step, which another process may show."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

REPORT_SECONDS = 0.2  # between two reports of a download


class ProgressReporter:
    """Turns progress into short sentences. May be called from several threads."""

    def __init__(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Give each sentence to `tell`."""
        self.tell = tell
        self._lock = threading.Lock()
        self._total = self._done = 0
        self._reported_at = 0.0

    def download(self, total: int) -> None:
        """Begin a download of `total` bytes."""
        self._total, self._done = total, 0

    @contextlib.contextmanager
    def file(self, name: str, size: int) -> Iterator[Callable[[int], None]]:
        """Wrap the download of one file; gives a function to call with each part's bytes."""
        yield self._add

    def _add(self, count: int) -> None:
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._reported_at < REPORT_SECONDS and self._done < self._total:
                return
            self._reported_at = now
            self.tell(f"downloading: {self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB")
