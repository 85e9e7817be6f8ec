"""What a slow step tells while it works; another process may show it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

EVERY = 0.2  # s between two reports of a download


class Progress:
    """Turns what is done into short sentences. May be called from several threads."""

    def __init__(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Give each sentence to `tell`."""
        self.tell = tell
        self._lock = threading.Lock()
        self._total = self._done = 0
        self._told = 0.0

    def download(self, total: int) -> None:
        """So many bytes are going to be downloaded."""
        self._total, self._done = total, 0

    @contextlib.contextmanager
    def file(self, name: str, size: int) -> Iterator[Callable[[int], None]]:
        """Around the download of one file; what is entered is called with each part's bytes."""
        yield self._came

    def _came(self, count: int) -> None:
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._told < EVERY and self._done < self._total:
                return
            self._told = now
            self.tell(f"downloading: {self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB")
