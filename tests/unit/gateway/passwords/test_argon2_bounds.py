"""Hashes that are too weak, or that take longer than an answer may."""

from __future__ import annotations

import pytest

from gateway.passwords.argon2_bounds import OWASP, troubles, weakness
from settings import Settings, SettingsError


def argon2(memory_kib: int, time_cost: int) -> Settings:
    """Settings with these, and a deadline of four seconds."""
    return Settings(argon2_memory_kib=memory_kib, argon2_time_cost=time_cost, deadline_seconds=4.0)


def test_the_defaults_are_strong_enough() -> None:
    """Nobody is warned who has changed nothing."""
    assert weakness(Settings()) is None


@pytest.mark.parametrize(("passes", "kib"), OWASP)
def test_owasp_s_least_is_enough_and_less_is_not(passes: int, kib: int) -> None:
    """Each of its five, and the sentence has the value that is needed."""
    assert weakness(argon2(kib, passes)) is None
    said = weakness(argon2(kib - 1, passes))
    assert said is not None
    assert (
        f"CERROJO_ARGON2_MEMORY_KIB is {kib - 1} and CERROJO_ARGON2_TIME_COST is {passes}" in said
    )
    assert f"set CERROJO_ARGON2_MEMORY_KIB to {kib} or more" in said


def test_more_passes_than_owasp_s_are_none_for_less_memory() -> None:
    """Memory is what a guesser's machine lacks."""
    assert weakness(argon2(7_167, 100)) is not None


def test_a_hash_that_may_come_too_late_is_said() -> None:
    """A login that had to wait begins its hash with a quarter of the deadline left."""
    assert troubles(argon2(65_536, 1), 0.99, 0.25) == []
    [said] = troubles(argon2(65_536, 1), 1.0, 0.25)
    assert "a hash takes 1.00 s here, and CERROJO_DEADLINE_SECONDS is 4: logins" in said


def test_a_hash_that_no_answer_can_wait_for_is_refused() -> None:
    """Every login would be 503, and its attempt would count all the same."""
    assert troubles(argon2(65_536, 1), 3.99, 0.25)
    with pytest.raises(SettingsError, match=r"MEMORY_KIB is 65536 .* no login could be answered"):
        troubles(argon2(65_536, 1), 4.0, 0.25)
