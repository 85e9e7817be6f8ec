"""Waiting for what is soon so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE_SECONDS = 0.05
PATIENCE_SECONDS = 180.0

NOT_HEARD = "Nobody can decide about this account now"
"""Said before anything is written, by a process that has not heard of a worker for two seconds.

A process that stood still for so long on a busy machine says it, too: then it is asked again.
"""


def wait_until(so: Callable[[], bool]) -> None:
    """Look again and again until it is so."""
    due = time.monotonic() + PATIENCE_SECONDS
    while not so():
        assert time.monotonic() < due, f"this was not so within {PATIENCE_SECONDS:g} s"
        time.sleep(PAUSE_SECONDS)


async def until(look: Callable[[], Awaitable[T]], good: Callable[[T], bool]) -> T:
    """Look again and again until it is so, and give what was seen then."""
    due = time.monotonic() + PATIENCE_SECONDS
    while not good(seen := await look()):
        assert time.monotonic() < due, f"this did not change in {PATIENCE_SECONDS:g} s: {seen}"
        await asyncio.sleep(PAUSE_SECONDS)
    return seen
