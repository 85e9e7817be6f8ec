"""The states that an owner need not read again."""

from __future__ import annotations

from workers.decision.policy import CLEAN
from workers.partition.state_cache import StateCache

FAILED = CLEAN._replace(failures_ms=(1,), consecutive_failures=1, last_ms=1)
FAILED_TWICE = CLEAN._replace(failures_ms=(1, 2), consecutive_failures=2, last_ms=2)


def test_an_account_is_read_once() -> None:
    """Also one that the database knows nothing of."""
    cache = StateCache()
    assert cache.missing(["ana", "eva"]) == {"ana", "eva"}
    cache.add(["ana", "eva"], {"ana": FAILED})
    assert cache.missing(["ana", "eva", "ida"]) == {"ida"}
    assert cache.of(["ana", "eva"]) == {"ana": FAILED, "eva": CLEAN}


def test_a_commit_is_what_counts_next() -> None:
    """For those that it changed."""
    cache = StateCache()
    cache.add(["ana", "eva"], {"ana": FAILED})
    cache.commit({"ana": (FAILED_TWICE, 7)})
    assert cache.of(["ana", "eva"]) == {"ana": FAILED_TWICE, "eva": CLEAN}


def test_it_does_not_grow_without_a_bound() -> None:
    """The accounts that were added first are forgotten first."""
    cache = StateCache(most=2)
    cache.add(["ana", "eva", "ida"], {})
    cache.commit({})
    assert cache.missing(["ana", "eva", "ida"]) == {"ana"}


def test_it_can_be_cleared() -> None:
    """When another owner may have written."""
    cache = StateCache()
    cache.add(["ana"], {"ana": FAILED})
    cache.clear()
    assert cache.missing(["ana"]) == {"ana"}
