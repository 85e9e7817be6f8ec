"""Waiting for what is soon so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 30.0  # seconds
PAUSE = 0.01  # seconds


async def until(look: Callable[[], Awaitable[T]], good: Callable[[T], bool]) -> T:
    """Look again and again until it is so, and give what was seen then."""
    due = time.monotonic() + PATIENCE
    while not good(seen := await look()):
        assert time.monotonic() < due, f"this did not change in {PATIENCE:g} s: {seen}"
        await asyncio.sleep(PAUSE)
    return seen
