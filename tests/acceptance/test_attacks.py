"""The short form of `make attack`: the attacks that need neither time nor a measured one."""

from __future__ import annotations

import asyncio

import pytest

from loadtest.attacks.attack import System, port_of
from loadtest.attacks.guesses import forged_devices
from loadtest.attacks.heads import smuggling
from loadtest.attacks.sources import claimed_address
from loadtest.attacks.texts import telling_answers
from loadtest.attacks.tokens import of_services, of_sessions
from tests.acceptance.system import PROXY, RunningSystem, token_line

BLOCK_TOKEN = "a-token-for-blocks-alone"


@pytest.mark.parametrize(
    "attack",
    [smuggling, telling_answers, forged_devices, of_services, of_sessions, claimed_address],
    ids=lambda run: f"{run.__module__.rpartition('.')[2]}.{run.__name__}",
)
def test_a_promise_holds_against_an_attack(system: RunningSystem, attack):
    """It says itself what was promised; `make attack` has the others."""
    line = token_line("attacker", BLOCK_TOKEN, "block")
    if line not in (known := system.tokens_file.read_text()):
        system.tokens_file.write_text(known + line)
    login, operator = port_of(system.login_url), port_of(system.operator_url)
    outcome = asyncio.run(attack(System(login, operator, proxy=PROXY, block_token=BLOCK_TOKEN)))
    assert outcome.tries
    assert outcome.held, outcome.happened
