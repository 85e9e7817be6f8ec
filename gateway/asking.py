"""Where an account's requests are decided, and asking until they are."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from events.messages import Decision, Verdict
from events.topics import partition_of
from gateway.errors import NoPartitionError, OverloadedError, UnavailableError
from gateway.journal import MakeRequest, Place
from gateway.view import View

LOOK = 0.05  # seconds between looks whether this process has heard of what it waits for


class Asked(Protocol):
    """Who writes a request and waits for its verdict (see :class:`gateway.journal.Journal`)."""

    async def ask(
        self, user: str, place: Place, seconds: float, request: MakeRequest
    ) -> Verdict: ...


def living_place(view: View, user: str) -> Place:
    """Where this account is decided, or UnavailableError where no worker is known to live."""
    if not view.partitions:
        raise UnavailableError("This gateway is still loading; try again later")
    place = Place(partition_of(user, view.partitions), view.partitions)
    if not view.fresh(place.partition, time.monotonic()):
        raise UnavailableError("Nobody can decide about this account now; try again later")
    return place


async def ask_until_decided(
    view: View, journal: Asked, user: str, due: float, request: MakeRequest
) -> Verdict:
    """The verdict on a request, or UnavailableError where there is none by then.

    While the partitions become more, it may take two requests until one is decided: the log
    does not decide what was written where the account was before, and says that it did not.
    """
    place = living_place(view, user)
    while True:
        try:
            verdict = await journal.ask(user, place, left(due), request)
        except NoPartitionError:
            await asyncio.sleep(LOOK)  # this process's producer has not heard of it yet
            continue
        if verdict.decision != Decision.MOVED:
            return verdict
        while view.partitions <= place.partitions:
            seconds = left(due)
            await asyncio.sleep(min(LOOK, seconds))
        place = living_place(view, user)


def left(due: float) -> float:
    """Seconds until `due` on the monotonic clock; OverloadedError where it is past."""
    seconds = due - time.monotonic()
    if seconds <= 0:
        raise OverloadedError("It took too long; try again later")
    return seconds
