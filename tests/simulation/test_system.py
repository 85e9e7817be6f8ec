"""Random schedules of a whole system, from a seed: owners, gateways, clients, clocks.

``CERROJO_SIMULATION_SCHEDULES`` lets so many of each kind run. A schedule that fails is printed as
its choices, which ``explore.run`` repeats.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.simulation.explore import FailedError, wander
from tests.simulation.mutants import BROKEN_GATEWAYS
from tests.simulation.system import Play, Troubles

SEEDS = max(25, int(os.environ.get("CERROJO_SIMULATION_SCHEDULES", "0")))
STEPS = 300
CALLS = 24

USERS = ("ana", "dan")
KINDS = (
    *("wrong", "wrong", "wrong", "wrong", "right", "unblock", "register", "look"),
    *("wrong@1", "right@1"),  # by a device
)

NETWORK = Troubles(lost=4, late=2, never=1, twice=3, broken=2, freeze=2, time=6)

TROUBLES = {
    "network": NETWORK,
    "deaths": Troubles(crash=2, lost=2, restart=3, late=1, twice=2, time=6),
    "time": Troubles(time=12, jump=2, late=1, twice=2, policy=2, clean=3, lost=1),
    "resize": Troubles(resize=1, crash=1, lost=2, late=1, twice=2, time=5, policy=1),
    "restores": Troubles(back=2, crash=1, restart=1, twice=2, start=1, time=4, clean=1),
    "lost tails": Troubles(tail=2, back=1, anew=1, twice=2, crash=1, time=4, late=1),
    "a clock that falls back": Troubles(jump=2, jump_back=2, time=6, twice=2, clean=2, policy=1),
    "all": Troubles(
        *(1, 2, 1, 1, 0, 1, 9),
        time=6,
        jump=1,
        late=1,
        never=1,
        twice=2,
        policy=1,
        resize=1,
        clean=1,
        restart=1,
        freeze=1,
        broken=1,
    ),
}


@pytest.mark.parametrize("kind", TROUBLES)
def test_clients_see_what_the_policy_allows(kind: str) -> None:
    """Anything may happen, in any order."""
    for seed in range(SEEDS):
        dice = random.Random(f"{kind} {seed}")
        calls = [(dice.choice(KINDS), dice.choice(USERS)) for _ in range(CALLS)]
        used = 1 if TROUBLES[kind].resize else 2
        play = Play(calls, TROUBLES[kind], used=used, owners=1 + seed % 2)
        wander(play, dice.randbytes(STEPS))


def test_clients_alone_show_what_a_broken_gateway_did() -> None:
    """The judge of their answers has neither the log nor the database, and finds no order."""
    code = BROKEN_GATEWAYS["writes each request twice"]

    dice = random.Random(0)
    calls = [(dice.choice(("wrong", "wrong", "look")), "ana") for _ in range(CALLS)]
    with pytest.raises(FailedError, match="no order explains the answers"):
        wander(Play(calls, used=2, code=code), dice.randbytes(STEPS))
