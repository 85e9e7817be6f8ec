"""Hosts know of each other by Postgres, and not by asking the group's coordinator."""

from __future__ import annotations

from tests.harness.waiting import wait_until
from workers.supervisor.topology_poller import TopologyPoller


def test_a_host_that_shuts_down_counts_those_that_stay(database: str):
    """Not itself, nor a host that shuts down at the same time, nor one that has died."""
    first, second, third = (TopologyPoller(database, 4) for _ in range(3))
    for host in (first, second, third):
        host.start()
    wait_until(lambda: first.other_hosts == 2)
    third.stop()  # its connection ends, as with a killed process
    first.leave()
    wait_until(lambda: first.other_hosts == 1)
    second.leave()
    wait_until(lambda: first.other_hosts == 0)
    wait_until(lambda: second.other_hosts == 0)
    first.stop()
    second.stop()


def test_without_postgres_nobody_is_waited_for():
    """A host must be able to end while the database is away."""
    alone = TopologyPoller("postgresql://nobody@127.0.0.1:9/none", 4)
    alone.start()
    alone.leave()
    assert alone.other_hosts == 0
    alone.stop()
