"""The cost of Locust itself, and whether it was the limit of what it measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import gevent  # type: ignore[import-untyped]

BUSY = 0.8  # of a core: past this, one Locust process delays what it measures
LATE_SECONDS = 0.1  # and when its timers are as late as this, it waited for a core
LOOK_SECONDS = 0.1
WINDOW_SECONDS = 5.0


class Cost(NamedTuple):
    """Of one process. A core is all that one Locust process can use."""

    cpu: float = 0.0  # core-seconds
    peak: float = 0.0  # of a core, in the busiest window
    late: float = 0.0  # seconds by which one in a hundred of its timers was late


class Meter:
    """Measures the process that it is made in, until :meth:`stop`."""

    def __init__(self) -> None:
        self._started, self._cpu = time.monotonic(), time.process_time()
        self._peak = 0.0
        self._late: list[float] = []
        self._greenlet = gevent.spawn(self._look)

    def stop(self) -> Cost:
        """Its cost so far."""
        self._greenlet.kill()
        late = sorted(self._late) or [0.0]
        cpu = time.process_time() - self._cpu
        share = cpu / (time.monotonic() - self._started)
        return Cost(cpu, max(share, self._peak), late[-1 - len(late) // 100])

    def _look(self) -> None:
        begin, cpu = time.monotonic(), time.process_time()
        while True:
            due = time.monotonic() + LOOK_SECONDS
            gevent.sleep(LOOK_SECONDS)
            now = time.monotonic()
            self._late.append(now - due)
            if now - begin >= WINDOW_SECONDS:
                self._peak = max(self._peak, (time.process_time() - cpu) / (now - begin))
                begin, cpu = now, time.process_time()


def cost_sentence(costs: Sequence[Cost], seconds: float) -> str:
    """The load of Locust itself, for a person."""
    used = sum(cost.cpu for cost in costs) / seconds
    processes = f"in {len(costs)} processes" if len(costs) > 1 else "in one process"
    peak, late = (max(values) for values in list(zip(*costs, strict=True))[1:])
    return (
        f"Locust used {used:.0%} of a core over {seconds:.0f} s, {processes}; "
        f"the busiest one {peak:.0%} at its peak, with timers up to {late * 1000:.0f} ms late."
    )


def cost_warning(costs: Sequence[Cost]) -> str | None:
    """A warning where Locust was the limit, with its meaning and the way out."""
    if max(cost.peak for cost in costs) > BUSY:
        return (
            "Locust was the limit here: a process of it used all of its core, so the latencies "
            "have its own in them. Set PROCESSES higher, or USERS lower."
        )
    if max(cost.late for cost in costs) > LATE_SECONDS:
        return (
            "Locust was kept waiting for a core, so the latencies have that in them. Run it on "
            "another machine than the system (LOGIN_URL, OPERATOR_URL), or set USERS lower."
        )
    return None
