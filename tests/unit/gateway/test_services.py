"""The answer to a blocked account, and the clock behind it."""

from __future__ import annotations

import time

import pytest

from gateway.blocklist.blocklist import Blocklist
from gateway.services import Services, blocked
from gateway.web.errors import retry_after


@pytest.mark.parametrize(
    ("until_ms", "seconds"), [(5_001, 2), (5_000, 1), (4_001, 1), (4_000, 1), (3_000, 1)]
)
def test_the_wait_is_rounded_up(until_ms: int, seconds: int) -> None:
    """A client that waits as long as it says does not come too early, nor at once."""
    error = blocked(until_ms, 4_000)
    assert retry_after(error) == seconds


@pytest.mark.parametrize("ahead_ms", [-3_600_000, 3_600_000])
def test_the_time_is_the_brokers_and_not_the_hosts(
    ahead_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host an hour off would hide blocks that stand, or show those that are over."""
    services = object.__new__(Services)  # without its connections
    services.blocklist = Blocklist()
    assert services.log_clock_ms() is None
    host_ms, now = int(time.time() * 1000), time.monotonic()
    assert services.clock_ms() >= host_ms  # nothing else is known
    pruned: list[int] = []
    monkeypatch.setattr(services.blocklist, "prune", pruned.append)
    services.forget_ended()
    assert pruned == []  # a host's clock would end blocks that stand
    services.blocklist.clock.learn(now, now, host_ms + ahead_ms)
    for clock_ms in (services.clock_ms(), services.log_clock_ms()):
        assert clock_ms is not None
        assert 0 <= clock_ms - host_ms - ahead_ms < 60_000
    services.forget_ended()
    assert 0 <= pruned[0] - host_ms - ahead_ms < 60_000
