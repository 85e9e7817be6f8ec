"""For whom a process waits that wants a processor."""

from __future__ import annotations

import os
from contextlib import suppress


def give_way(yes: bool) -> None:
    """Whether this process takes a processor from another one as soon as it wants it, or waits.

    One that gives way waits until what has the processor ends its slice, a few milliseconds
    (SCHED_BATCH): all its threads, and those that they start. Where all processors are busy,
    whoever takes one for each little thing costs the others their caches and itself a cold start;
    one that waits does all that has arrived meanwhile. Nothing changes where this is not Linux, or
    where somebody has given the process a policy that is neither.
    """
    with suppress(AttributeError, OSError):
        now, then = os.SCHED_OTHER, os.SCHED_BATCH
        if not yes:
            now, then = then, now
        for thread in os.listdir("/proc/self/task"):
            with suppress(OSError):  # it has ended meanwhile
                if os.sched_getscheduler(int(thread)) == now:
                    os.sched_setscheduler(int(thread), then, os.sched_param(0))
