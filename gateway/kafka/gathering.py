"""Lets attempts go to the log together while there are more hashes to make than can be made."""

from __future__ import annotations

import asyncio

SHARE = 0.02
"""Of the deadline: so long an attempt waits for others, at most."""


class Gathering:
    """Attempts that wait for each other between hash and log.

    While many logins wait for their hashes, nobody is answered sooner for having its attempt sent
    alone; but each record that comes alone costs a commit and a dozen wake-ups, on processors that
    the hashes want. For the event loop's thread.
    """

    def __init__(self, deadline_seconds: float) -> None:
        self._seconds = SHARE * deadline_seconds
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, more_come: bool) -> None:
        """Wait for others if more are to come soon; otherwise let go all that wait."""
        if not more_come:
            self._let_go()
            return
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._let_go)
        together = self._loop.create_future()
        self._waiting.append(together)
        await together

    def _let_go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        for together in waiting:
            if not together.done():  # its request may have been given up
                together.set_result(None)
