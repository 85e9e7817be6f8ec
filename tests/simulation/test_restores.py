"""Gateways notice that the database went back where neither log nor positions show it."""

from __future__ import annotations

import pytest

from tests.simulation.explore import run
from tests.simulation.mutants import MUTANTS
from tests.simulation.schedule import Faults, Scenario, first_policy, wrong
from tests.simulation.world import Violation

ALL_DECIDED = Scenario(
    [],
    before=(first_policy(), wrong(1), wrong(2)),
    owners=1,
    faults=Faults(back=1, start=4, crash=1),
)
"""`ana` is blocked, and her owner is gone."""

RESTORED = ["back:0:1", *["start:0:0"] * 4]
"""The database has forgotten it, and the log begins behind it, so nobody decides it again."""


def test_who_follows_a_lost_history_loads_the_present_one() -> None:
    """The block stands nowhere but in the memory of gateways, where nobody could lift it."""
    run(ALL_DECIDED, RESTORED)


def run_with_two_owners(scenario: Scenario) -> None:
    """The first one ends after any number of steps; its messages may be late, or be lost."""
    for steps in range(10):
        run(scenario._replace(partial=True), [*RESTORED, *["step:0:0"] * steps, "crash:0:0"])


def test_the_first_owner_after_a_restore_may_die() -> None:
    """The second one may find the database where nothing seems to be missing."""
    run_with_two_owners(ALL_DECIDED)
    hasty = MUTANTS["moves before what it has said is acknowledged"]
    with pytest.raises(Violation, match="a gateway that loaded"):
        run_with_two_owners(ALL_DECIDED._replace(new_worker=hasty))


@pytest.mark.parametrize(
    "name",
    ["does not say that it has claimed", "says where it goes on and not what it has claimed"],
)
def test_a_worker_that_does_not_say_where_it_began_is_found(name: str) -> None:
    """Gateways have nothing else to notice it by."""
    with pytest.raises(Violation, match="a gateway that loaded"):
        run(ALL_DECIDED._replace(new_worker=MUTANTS[name]), RESTORED)
