"""Gives up futures for which one request each waits.

It is cheaper than asyncio's timeouts, which look for the running loop; in Python 3.11 each look is
a call of the system.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any, Final


class Late(Enum):
    """What stands in the place of an answer that did not come in time.

    An exception in the future would be a cycle, by way of the frame that raises it.
    """

    LATE = 0


LATE: Final = Late.LATE


def give_up_in(
    loop: asyncio.AbstractEventLoop, seconds: float, answer: asyncio.Future[Any]
) -> asyncio.TimerHandle:
    """Let the answer be LATE so many seconds from now, unless it is there; to be cancelled."""
    return loop.call_later(max(0.0, seconds), _give_up, answer)


def _give_up(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_result(LATE)
