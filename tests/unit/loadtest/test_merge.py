"""One ledger out of several processes' ledgers: as one would have been, and never less careful."""

from __future__ import annotations

import random
from math import inf
from typing import Any

import msgspec
import pytest

from loadtest.judge import judge
from loadtest.ledger import LOOK_UP, REGISTER, UNBLOCK, Ledger, Rules
from loadtest.merge import Clock, Sender, merge

RULES = Rules(threshold=5, window_seconds=900.0, block_seconds=1800.0)


def sent(sender: Sender, *, final: bool = False) -> dict[str, Any]:
    """News as they arrive: through MessagePack."""
    decoded: dict[str, Any] = msgspec.msgpack.decode(
        msgspec.msgpack.encode(sender.news(final=final)), strict=False
    )
    return decoded


def a_login(ledger: Ledger, user: str, status: int, at: float, *, right: bool = False) -> None:
    """One login that takes a second."""
    ledger.end(user, ledger.begin(user, right=right, now=at), status, now=at + 1.0)


def test_guesses_in_two_processes_are_judged_as_one() -> None:
    """Three wrong answers here and three there are six, which no process saw."""
    here, there, all_ = Ledger(RULES), Ledger(RULES), Ledger(RULES)
    for number in range(3):
        a_login(here, "ana", 401, 10.0 * number)
        a_login(there, "ana", 401, 10.0 * number + 5)
    for ledger in (here, there):
        assert all(check.holds for check in judge(ledger, ()))
        merge(all_, sent(Sender(ledger, Clock()), final=True))
    assert [check.what for check in judge(all_, ()) if not check.holds] == [
        "No account revealed more than 5 wrong passwords",
        "The answers of each account have an order that the policy allows",
    ]


def test_what_another_process_saw_clears_a_suspicion() -> None:
    """A success in another process comes between, wherever its news stand."""
    here, there, all_ = Ledger(RULES), Ledger(RULES), Ledger(RULES)
    for number in range(6):
        a_login(here, "ana", 401, 10.0 * number)
    a_login(there, "ana", 200, 25.0, right=True)
    for ledger in (here, there):
        merge(all_, sent(Sender(ledger, Clock()), final=True))
    assert all(check.holds for check in judge(all_, ()))


def test_who_told_first_is_not_who_came_first() -> None:
    """A success long after them does not excuse six wrong answers, though it is told first."""
    here, there, all_ = Ledger(RULES), Ledger(RULES), Ledger(RULES)
    a_login(there, "ana", 200, 100.0, right=True)
    a_login(here, "ana", 200, 5.0, right=True)
    for number in range(6):
        a_login(here, "ana", 401, 10.0 * number + 10)
    for ledger in (there, here):
        merge(all_, sent(Sender(ledger, Clock()), final=True))
    assert [check.what for check in judge(all_, ()) if not check.holds] == [
        "No account revealed more than 5 wrong passwords",
        "Nobody got in with a wrong password or while blocked",
        "The answers of each account have an order that the policy allows",
    ]


def test_times_are_told_as_wide_as_the_clock_is_unsure() -> None:
    """Calls that may have overlapped by the master's clock must not be told as if they had not."""
    clock, ledger, all_ = Clock(), Ledger(RULES), Ledger(RULES)
    clock.learn(0.0, 1001.0, 2.0)  # the master is ahead by 999 to 1001 seconds
    a_login(ledger, "ana", 429, 10.0)
    ledger.looked_up("ana", 200, sent=11.0, now=12.0)
    merge(all_, sent(Sender(ledger, clock), final=True))
    (attempt,) = all_.accounts["ana"].attempts
    (lookup,) = all_.accounts["ana"].questions
    for early, late, began, ended in (
        (attempt.sent, attempt.answered, 10.0, 11.0),
        (lookup.sent, lookup.answered, 11.0, 12.0),
    ):
        assert early == pytest.approx(began + 999.0, abs=0.01)
        assert late == pytest.approx(ended + 1001.0, abs=0.01)


def test_everything_is_told_once_and_the_rest_at_the_end() -> None:
    """A login under way is told at the end only, as one without an answer."""
    ledger, all_ = Ledger(RULES), Ledger(RULES)
    sender = Sender(ledger, Clock())
    a_login(ledger, "ana", 401, 0.0)
    ledger.begin("ana", right=False, now=1.0)
    merge(all_, sent(sender))
    assert [a.status for a in all_.accounts["ana"].attempts] == [401]
    a_login(ledger, "bob", 403, 2.0)
    ledger.looked_up("bob", 404, sent=3.0, now=4.0)
    ledger.answer(ledger.ask("cleo", REGISTER, now=5.0), 201, now=6.0, problem="register was odd")
    ledger.ask("cleo", UNBLOCK, now=7.0)
    merge(all_, sent(sender))
    merge(all_, sent(sender, final=True))
    assert [a.status for a in all_.accounts["ana"].attempts] == [401, None]
    (bob,) = all_.accounts["bob"].attempts
    assert (bob.status, bob.sent, bob.answered, bob.until) == (403, 2.0, 3.0, inf)
    assert {
        user: [(q.kind, q.sent, q.answered, q.status) for q in account.questions]
        for user, account in all_.accounts.items()
    } == {
        "ana": [],
        "bob": [(LOOK_UP, 3.0, 4.0, 404)],
        "cleo": [(REGISTER, 5.0, 6.0, 201), (UNBLOCK, 7.0, inf, None)],
    }
    assert all_.problems == {"register was odd": 1}
    assert len(all_.ended) == 2


@pytest.mark.parametrize("seed", range(50))
def test_a_clock_never_says_too_late_or_too_early(seed: int) -> None:
    """The other clock may show anything, and the questions may take any time."""
    rng = random.Random(seed)
    ahead, faster = rng.uniform(-1e6, 1e6), 1 + rng.uniform(-9e-5, 9e-5)

    def masters(time: float) -> float:
        return time * faster + ahead

    clock = Clock()
    assert not clock.known
    for asked in range(20):
        there = asked + rng.uniform(0, 0.5)
        clock.learn(asked, masters(there), there + rng.uniform(0, 0.5))
        assert clock.known
        for time in (asked - 10.0, float(asked), asked + 500.0):
            assert clock.earliest(time) <= masters(time) <= clock.latest(time)


def test_a_quick_answer_makes_a_clock_more_exact() -> None:
    """And a slow one later does not make it worse."""
    clock = Clock()
    for asked, delay in ((0.0, 2.0), (10.0, 0.01), (20.0, 3.0)):
        clock.learn(asked, asked + delay / 2, asked + delay)
    assert clock.latest(20.0) - clock.earliest(20.0) < 0.02
    assert clock.latest(inf) == inf
    assert clock.earliest(inf) == inf
    assert clock.earliest(-inf) == -inf
