"""Calls of Kafka's client that may wait for the group's coordinator for ever."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread


class BoundedCalls:
    """Waits for each only so long.

    librdkafka's commits and its leaving of a group wait without a bound while the brokers are away
    [measured: 33 s, until they were back]. A supervisor that waits as long starts no dead worker
    again, and does not end when it is told to.
    """

    def __init__(self) -> None:
        self._thread: Thread | None = None

    def run(self, call: Callable[[], object], seconds: float) -> bool:
        """Whether it ended within so many seconds, in a thread. Else it goes on.

        Until it has ended, no further call is begun: False at once.
        """
        if self._thread is not None and self._thread.is_alive():
            return False
        self._thread = Thread(target=call, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no more threads may be started now
            self._thread = None
            return False
        self._thread.join(seconds)
        return not self._thread.is_alive()
