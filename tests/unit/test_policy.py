"""The policy's properties, for any history of one account."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from events.messages import FOREVER, Decision, Policy
from workers.policy import CLEAN, LockState, Ruling, rule_attempt, rule_clearing

DEFAULT = Policy(version=1)

policies = st.builds(
    Policy,
    version=st.just(1),
    threshold=st.integers(1, 8),
    window_ms=st.integers(1, 100_000),
    block_ms=st.integers(0, 100_000),
    block_max_ms=st.integers(0, 1_000_000),
    final_failures=st.integers(0, 12),
)
# (right, milliseconds since the one before; brokers' clocks also go back)
passwords = st.sampled_from([False] * 9 + [True])
histories = st.lists(st.tuples(passwords, st.integers(-1_000, 50_000)), max_size=60)


def replay(policy: Policy, history: list[tuple[bool, int]]) -> list[tuple[int, bool, Ruling]]:
    """Each attempt's effective time and password, with its ruling."""
    state, now, rulings = CLEAN, 1_000_000, []
    for right, later in history:
        now += later
        time = max(now, state.last_ms)
        ruling = rule_attempt(policy, state, right, now)
        rulings.append((time, right, ruling))
        state = ruling.state
    return rulings


@given(policies, histories)
def test_a_right_password_is_accepted_unless_a_block_stands(policy, history):
    """Nobody is refused who should not be, and nobody is let in past a block."""
    until = 0
    for time, right, ruling in replay(policy, history):
        if until > time:
            assert ruling.decision == Decision.BLOCKED
        else:
            assert ruling.decision == (Decision.ACCEPTED if right else Decision.REJECTED)
        until = ruling.until_ms


@given(policies, histories)
def test_no_window_holds_more_wrong_answers_than_the_threshold(policy, history):
    """Five means five: an account is blocked at exactly that many, counted anew after a block."""
    recent: list[int] = []
    in_a_row = 0
    for time, _, ruling in replay(policy, history):
        if ruling.decision == Decision.ACCEPTED:
            recent, in_a_row = [], 0
        elif ruling.decision == Decision.REJECTED:
            recent = [t for t in recent if time - t < policy.window_ms] + [time]
            in_a_row += 1
            final = 0 < policy.final_failures <= in_a_row
            assert ruling.change == (len(recent) == policy.threshold or final)
            if ruling.change:
                recent = []


@given(policies, histories)
def test_what_arrives_while_blocked_changes_nothing(policy, history):
    """A blocked attempt neither counts nor extends, whatever its password was."""
    before = CLEAN
    for _, _, ruling in replay(policy, history):
        if ruling.decision == Decision.BLOCKED:
            assert ruling.state == before
            assert ruling.change == 0
        before = ruling.state


@given(policies, histories)
def test_a_success_clears_all(policy, history):
    """After a success the account has nothing against it."""
    for _, _, ruling in replay(policy, history):
        if ruling.decision == Decision.ACCEPTED:
            assert ruling.state == CLEAN


@given(policies, histories)
def test_too_many_in_a_row_are_for_an_operator(policy, history):
    """The block after the last allowed failure in a row has no end, and none before it."""
    assume(policy.block_ms)
    in_a_row = 0
    for _, _, ruling in replay(policy, history):
        in_a_row = {Decision.ACCEPTED: 0, Decision.REJECTED: in_a_row + 1}.get(
            ruling.decision, in_a_row
        )
        final = bool(policy.final_failures) and in_a_row >= policy.final_failures
        assert (ruling.until_ms == FOREVER) == final


@given(st.integers(1, 10_000), st.integers(0, 50))
def test_blocks_double_up_to_their_limit(block_ms, before):
    """The n-th block since a success is twice the one before it, up to the limit."""
    policy = Policy(threshold=1, block_ms=block_ms, block_max_ms=80_000, final_failures=0)
    state = LockState(blocks=before, last_ms=1)
    ruling = rule_attempt(policy, state, False, 1_000)
    assert ruling.until_ms - 1_000 == min(block_ms * 2**before, 80_000)


def test_the_default_blocks_at_the_fifth_within_fifteen_minutes_for_thirty():
    """The documented defaults, to the millisecond."""
    spaced = replay(DEFAULT, [(False, 225_000)] * 4 + [(False, 225_000)])
    assert [r.until_ms for _, _, r in spaced] == [0] * 5  # the first is 900 s old by then
    close = replay(DEFAULT, [(False, 0)] + [(False, 224_999)] * 3 + [(False, 225_002)])
    time, _, last = close[-1]
    assert last.decision == Decision.REJECTED
    assert (last.change, last.until_ms) == (1, time + 1_800_000)
    assert last.state.why == "5 wrong passwords within 900 s"


def test_each_further_block_is_twice_as_long():
    """Five wrong ones, the block waited out, five more: 30 minutes, 60, 120."""
    five = [(False, 1)] * 4
    history = [(False, 1), *five, (False, 1_800_001), *five, (False, 3_600_001), *five]
    blocks = [r.until_ms - time for time, _, r in replay(DEFAULT, history) if r.change]
    assert blocks == [1_800_000, 3_600_000, 7_200_000]


def test_the_exercises_rule_can_be_set():
    """A 60 second window and a block that only an operator lifts."""
    policy = Policy(window_ms=60_000, block_ms=0, final_failures=0)
    *_, (_, _, last) = replay(policy, [(False, 1)] * 5)
    assert last.until_ms == FOREVER
    *_, (_, _, after) = replay(policy, [(False, 1)] * 5 + [(True, 10**9)])
    assert after.decision == Decision.BLOCKED


def test_a_clock_that_goes_back_ends_no_block_and_no_window():
    """An attempt is never taken for an earlier one than the account has seen."""
    counted = LockState(failures_ms=(9_000,), in_a_row=1, last_ms=9_000)
    ruling = rule_attempt(DEFAULT, counted, False, 1_000)
    assert ruling.state.failures_ms == (9_000, 9_000)
    assert ruling.state.last_ms == 9_000


def test_clearing_says_whether_there_was_a_block():
    """Lifting is accepted where a block stood, and leaves nothing behind either way."""
    blocked = LockState(in_a_row=5, blocks=1, since_ms=1, until_ms=5_000, last_ms=1)
    assert rule_clearing(blocked, 4_999) == (Decision.ACCEPTED, CLEAN, 0, -1)
    assert rule_clearing(blocked, 5_000) == (Decision.REJECTED, CLEAN, 0, 0)
    assert rule_clearing(CLEAN, 1) == (Decision.REJECTED, CLEAN, 0, 0)


forgetful = st.builds(
    Policy,
    version=st.just(1),
    threshold=st.integers(1, 8),
    window_ms=st.integers(1, 100_000),
    block_ms=st.integers(0, 100_000),
    forget_ms=st.integers(1, 100_000),
)


@given(forgetful, histories, st.integers(0, 50_000), st.booleans())
def test_what_is_forgotten_might_as_well_have_been_deleted(policy, history, later, right):
    """From then on every decision is that of a clean account, so nobody sees who deletes when."""
    state = replay(policy, history)[-1][2].state if history else CLEAN
    now = state.last_ms + policy.forget_ms + later
    assume(state.until_ms is None or state.until_ms <= now)
    assert rule_attempt(policy, state, right, now) == rule_attempt(policy, CLEAN, right, now)


@given(st.integers(2, 100_000))
def test_nothing_is_forgotten_before_its_time_or_while_a_block_stands(forget_ms):
    """A millisecond earlier it counts; an operator's block never ends by being old."""
    policy = Policy(version=1, threshold=3, forget_ms=forget_ms)
    counted = LockState((), 99, 1, None, None, None, 1_000)
    assert rule_attempt(policy, counted, False, 1_000 + forget_ms - 1).until_ms == FOREVER
    assert rule_attempt(policy, counted, False, 1_000 + forget_ms).until_ms == 0
    blocked = counted._replace(until_ms=FOREVER)
    assert rule_attempt(policy, blocked, True, 10**15).decision == Decision.BLOCKED
