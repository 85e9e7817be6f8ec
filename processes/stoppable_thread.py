"""A background thread that can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable


class StoppableThread:
    """Runs a function once in a daemon thread, which does not delay the process's exit."""

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        """`run` must return soon after `stopping` is set."""
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, seconds: float = 0.0) -> None:
        """Set `stopping`, and wait up to `seconds` for the thread's end."""
        self.stopping.set()
        self._thread.join(seconds)
