"""A process that gives way does so with all its threads, and no longer than it is told to."""

from __future__ import annotations

import os
import threading

import pytest

from processes.scheduling import give_way

BATCH = getattr(os, "SCHED_BATCH", None)


def policies() -> set[int]:
    """Of all threads of this process."""
    return {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}


@pytest.mark.skipif(BATCH is None, reason="only Linux has such policies")
def test_all_threads_give_way_and_those_that_they_start() -> None:
    """Or those of the server, which wake for each request, would go on as before."""
    end = threading.Event()
    threads = [threading.Thread(target=end.wait) for _ in range(2)]
    threads[0].start()
    give_way(True)
    threads[1].start()
    try:
        assert policies() == {BATCH}
        give_way(False)
        assert policies() == {os.SCHED_OTHER}
    finally:
        give_way(False)
        end.set()
        for thread in threads:
            thread.join()
