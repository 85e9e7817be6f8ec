"""Long random schedules: longer logs, several owners, repeated faults of all kinds.

A schedule that fails is made as short as it can be, kept by hypothesis for the next run, and
printed as its choices, which ``explore.run`` repeats.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.messages import Block, Disabled, PasswordChanged, Policy, Registered, SetPolicy
from tests.simulation.explore import wander
from tests.simulation.replay import Said
from tests.simulation.schedule import (
    Faults,
    Scenario,
    deleted,
    first_policy,
    number,
    right,
    unblock,
    wrong,
)

EXAMPLES = max(120, int(os.environ.get("CERROJO_SIMULATION_SCHEDULES", "0")))
USERS = ("ana", "bob")

FAULTS = {
    "none": Faults(),
    "crashes": Faults(crash=4, lost=4),
    "database": Faults(crash=2, lost=2, back=2),
    "log": Faults(crash=3, lost=2, tail=1, anew=1, start=2),
    "both": Faults(crash=2, lost=2, back=2, tail=2, anew=2, start=2),
}


def said(n: int, kind: int, user: str) -> Said:
    """The nth record: mostly wrong passwords."""
    if kind == 0:
        return right(n, user)
    if kind == 1:
        return unblock(n, user)
    if kind == 2:
        return Registered(number(n), 0, user)
    if kind == 3:
        return None
    if kind == 4:
        return SetPolicy(number(n), 0, Policy(version=n, threshold=3, block_ms=0))
    if kind == 5:
        return deleted(n, user)
    if kind == 6:
        return PasswordChanged(number(n), 0, user)
    if kind == 7:
        policy = Policy(version=n, threshold=2, block_ms=3_500, repeated_guesses="ignore")
        return SetPolicy(number(n), 0, policy)
    if kind == 8:
        return right(n, user, device=1)
    if kind in (9, 10):
        return wrong(n, user, device=1 + n % 2)
    if kind == 13:
        return Block(number(n), 0, user, 0, 0, "cleo", "robbed", 2_500 * (n % 2))
    if kind == 14:
        return Disabled(number(n), 0, user, 0, 0, "cleo")
    if kind in (11, 12):
        return wrong(n, user, guess=1 + n % 2)
    return wrong(n, user)


logs = st.lists(st.tuples(st.integers(0, 20), st.sampled_from(USERS)), min_size=2, max_size=14).map(
    lambda drawn: [said(n, kind, user) for n, (kind, user) in enumerate(drawn, 10)]
)


@pytest.mark.parametrize("faults", FAULTS)
def test_long_random_schedules_end_well(faults: str) -> None:
    """Anything may happen, in any order."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(logs, st.integers(0, 14), st.integers(1, 5), st.binary(min_size=60, max_size=400))
    def check(log: list[Said], at_first: int, owners: int, dice: bytes) -> None:
        scenario = Scenario(
            log[:at_first],
            before=(first_policy(), wrong(1)),
            later=log[at_first:],
            faults=FAULTS[faults],
            owners=owners,
            partial=True,
        )
        wander(scenario, dice)

    check()
