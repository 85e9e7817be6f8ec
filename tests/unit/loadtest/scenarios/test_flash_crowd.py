"""A crowd that comes in steps, and leaves."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from loadtest.scenarios import flash_crowd
from loadtest.scenarios.flash_crowd import Crowd


@pytest.mark.parametrize(
    ("seconds", "users"), [(0.0, 40), (44.0, 400), (45.1, 40), (59.9, 40), (60.0, None)]
)
def test_a_crowd_comes_and_leaves_all_at_once(
    seconds: float, users: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locust takes a rate for both, and a crowd that leaves slowly is one until the end."""
    told = SimpleNamespace(run_time=60, num_users=400)
    monkeypatch.setattr(flash_crowd, "options", lambda _: told)
    crowd = Crowd()
    monkeypatch.setattr(crowd, "get_run_time", lambda: seconds)
    assert crowd.tick() == (users and (users, 400))
    assert (users == 40) == (seconds < 9 or crowd.calm_after * 60 < seconds < 60)
