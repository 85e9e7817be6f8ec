"""Python imports this at its start: the time of day is ahead by what the environment says.

It takes the place of libfaketime, which does not know C11's `cnd_timedwait` [measured with 0.9.10]:
librdkafka's threads would spin with a clock that is behind, and sleep on with one that is ahead.
The parts read the time of day in Python only; their waits are measured by other clocks.
"""

import os
import time

AHEAD = float(os.environ.get("CHAOS_CLOCK_AHEAD", "0"))

_time, _time_ns = time.time, time.time_ns

if AHEAD:
    time.time = lambda: _time() + AHEAD
    time.time_ns = lambda: _time_ns() + round(AHEAD * 1e9)
