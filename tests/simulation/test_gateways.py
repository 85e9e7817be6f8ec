"""Every order of the steps of a gateway that begins and of an owner, and broken gateways."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.explore import FailedError, explore
from tests.simulation.mutants import BROKEN_GATEWAYS
from tests.simulation.owners import real_worker, timed_worker
from tests.simulation.schedule import Choice, unblock, wrong
from tests.simulation.system import Play, System, Troubles

RecordProperty = Callable[[str, object], None]

ALONE = Play([], gateways=1, partitions=1, slow=False, asked_at_last=False, new_worker=timed_worker)

SMALL = {
    "a gateway loads while a block begins": ALONE._replace(
        said=[wrong(1001), wrong(1002)],
        held=["blocklist consumer"],
        watched=["blocklist consumer"],
    ),
    "a gateway loads while a block is lifted": ALONE._replace(
        before=[wrong(1001), wrong(1002)],
        said=[unblock(1003)],
        held=["blocklist consumer"],
        watched=["blocklist consumer"],
    ),
    "a gateway is asked while it gets ready": ALONE._replace(
        calls=[("wrong", "ana")],
        held=["verdict consumer"],
        watched=["verdict consumer"],
        new_worker=real_worker,
    ),
    "a record of a gateway arrives twice": ALONE._replace(
        calls=[("wrong", "ana")],
        watched=["verdict consumer"],
        troubles=Troubles(twice=1),
    ),
}

WHERE = {
    "loads before it notes the end of the news": "a gateway loads while a block begins",
    "believes an old view of the news": "a gateway loads while a block begins",
    "is ready before it notes the end of the verdicts": "a gateway is asked while it gets ready",
}


@pytest.mark.parametrize("name", SMALL)
def test_every_beginning_of_a_gateway_ends_well(name: str, record_property: RecordProperty) -> None:
    """It misses no news and no verdict, whenever it begins."""
    explored = explore(SMALL[name])
    record_property("said", f"{name}: all of {explored}")
    assert explored.schedules >= explored.runs > 1


@pytest.mark.parametrize("name", WHERE)
def test_a_broken_gateway_is_found(name: str) -> None:
    """By a schedule that does not end as it must."""
    with pytest.raises(FailedError):
        explore(SMALL[WHERE[name]]._replace(code=BROKEN_GATEWAYS[name]))


def test_a_gateway_that_stood_still_while_it_loaded_does_not_wait_as_long() -> None:
    """Before it loads again: meanwhile it hears of no worker and refuses everybody."""
    system = System(Play([], Troubles(restart=1, broken=1), gateways=1, partitions=1))
    system.do(Choice("restart"))
    [gateway] = system.gateways
    place = next(n for n, t in enumerate(gateway.threads) if t.name == "blocklist consumer")
    while gateway.threads[place].pending != "loaded":
        gateway.step(place)
    system.advance(7_200_000)
    while gateway.threads[place].pending != "read":
        gateway.step(place)
    system.do(Choice("broken"))
    system.settle()
    system.close()
