"""The policy's properties, for any history of one account."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from events.messages import FOREVER, Decision, Policy
from workers.decision.policy import (
    CLEAN,
    MOST_DEVICES,
    LockState,
    Ruling,
    rule_attempt,
    rule_block,
    rule_clearing,
    rule_note,
)

DEFAULT = Policy(version=1)

DEVICE = b"a device of ana."

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
    consecutive_failures = 0
    for time, _, ruling in replay(policy, history):
        if ruling.decision == Decision.ACCEPTED:
            recent, consecutive_failures = [], 0
        elif ruling.decision == Decision.REJECTED:
            recent = [t for t in recent if time - t < policy.window_ms] + [time]
            consecutive_failures += 1
            final = 0 < policy.final_failures <= consecutive_failures
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
    consecutive_failures = 0
    for _, _, ruling in replay(policy, history):
        consecutive_failures = {
            Decision.ACCEPTED: 0,
            Decision.REJECTED: consecutive_failures + 1,
        }.get(ruling.decision, consecutive_failures)
        final = bool(policy.final_failures) and consecutive_failures >= policy.final_failures
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
    counted = LockState(failures_ms=(9_000,), consecutive_failures=1, last_ms=9_000)
    ruling = rule_attempt(DEFAULT, counted, False, 1_000)
    assert ruling.state.failures_ms == (9_000, 9_000)
    assert ruling.state.last_ms == 9_000


def test_clearing_says_whether_there_was_a_block():
    """Lifting is accepted where a block stood, and leaves nothing behind either way."""
    blocked = LockState(consecutive_failures=5, blocks=1, since_ms=1, until_ms=5_000, last_ms=1)
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
    forget_each_ms=st.integers(0, 20_000),
)


@given(forgetful, histories, st.integers(0, 50_000), st.booleans())
def test_what_is_forgotten_might_as_well_have_been_deleted(policy, history, later, right):
    """From then on every decision is that of a clean account, so nobody sees who deletes when."""
    state = replay(policy, history)[-1][2].state if history else CLEAN
    now = state.last_ms + state.forget_ms + later
    assume(state.until_ms is None or state.until_ms <= now)
    assert rule_attempt(policy, state, right, now) == rule_attempt(policy, CLEAN, right, now)


@given(st.integers(2, 100_000))
def test_nothing_is_forgotten_before_its_time_or_while_a_block_stands(forget_ms):
    """A millisecond earlier it counts; an operator's block never ends by being old."""
    policy = Policy(version=1, threshold=3, forget_ms=forget_ms)
    counted = LockState((), 99, 1, None, None, None, 1_000, forget_ms)
    assert rule_attempt(policy, counted, False, 1_000 + forget_ms - 1).until_ms == FOREVER
    assert rule_attempt(policy, counted, False, 1_000 + forget_ms).until_ms == 0
    blocked = counted._replace(until_ms=FOREVER)
    assert rule_attempt(policy, blocked, True, 10**15).decision == Decision.BLOCKED


@given(forgetful, forgetful, st.booleans())
def test_a_later_policy_revives_nothing(before, after, right):
    """A state that may have been deleted by the old policy's time is none by a longer one."""
    state = rule_attempt(before, CLEAN, False, 1_000).state
    now = 1_000 + state.forget_ms
    assume(state.until_ms is None or state.until_ms <= now)
    assert rule_attempt(after, state, right, now) == rule_attempt(after, CLEAN, right, now)


IGNORING = Policy(version=1, repeated_guesses="ignore")
MINE, ANOTHER = b"m" * 16, b"a" * 16

devices = st.sampled_from([None, None, MINE, ANOTHER])
guesses = st.sampled_from([(), (b"g" * 8,), (b"h" * 8, b"g" * 8), (b"i" * 8,), (b"j" * 8,)])
crowds = st.lists(st.tuples(passwords, st.integers(-1_000, 50_000), devices, guesses), max_size=60)


@given(policies, crowds)
def test_strangers_and_devices_take_nothing_from_each_other(policy, history):
    """Each is decided as if the others were not there, but for a device that is used up."""
    policy = Policy(**{f: getattr(policy, f) for f in policy.__struct_fields__} | {"forget_ms": 0})
    together, apart = CLEAN, {None: CLEAN, MINE: CLEAN, ANOTHER: CLEAN}
    now = 1_000_000
    for right, later, device, told in history:
        now = max(now, now + later)  # or the latest time, which all share, would differ
        used_up = any(
            each.id == device and each.until_ms is not None and each.until_ms <= now
            for each in apart[device].devices
        )
        assume(not used_up)
        expected = rule_attempt(policy, apart[device], right, now, device, told)
        ruling = rule_attempt(policy, together, right, now, device, told)
        assert (ruling.decision, ruling.until_ms, ruling.change) == (
            *(expected.decision, expected.until_ms, expected.change),
        )
        apart[device], together = expected.state, ruling.state


@given(policies, crowds)
def test_a_device_reveals_no_more_than_the_threshold_in_all(policy, history):
    """However often its owner logs in, and whatever the time."""
    state, now, revealed = CLEAN, 1_000_000, 0
    for right, later, device, _ in history:
        now += later
        trusted = not any(each.id == MINE and each.until_ms is not None for each in state.devices)
        ruling = rule_attempt(policy, state, right, now, device)
        if device == MINE and trusted:
            assert ruling.change == 0
            if not right:
                revealed += 1
                assert ruling.decision == Decision.REJECTED
                assert (ruling.until_ms > 0) == (revealed == policy.threshold)
            else:
                assert ruling.decision == Decision.ACCEPTED
        assert revealed <= policy.threshold
        state = ruling.state


def device_state(wrong: int, device: bytes = MINE, state: LockState = CLEAN) -> LockState:
    """After so many wrong passwords of a device."""
    for n in range(wrong):
        state = rule_attempt(DEFAULT, state, False, n, device).state
    return state


def test_a_used_up_device_is_blocked_and_then_a_stranger():
    """A copied cookie is worth five guesses; whoever has it goes on as anybody does."""
    state = device_state(5)
    during = rule_attempt(DEFAULT, state, True, 1_000, MINE)
    assert (during.decision, during.until_ms) == (Decision.BLOCKED, 4 + DEFAULT.block_ms)
    later = 4 + DEFAULT.block_ms
    wrong = rule_attempt(DEFAULT, state, False, later, MINE)
    assert (wrong.decision, wrong.state.failures_ms) == (Decision.REJECTED, (later,))
    assert rule_attempt(DEFAULT, state, True, later, MINE).decision == Decision.ACCEPTED


def test_a_device_of_a_policy_that_blocks_for_good_is_blocked_for_the_window():
    """It is on no list that an operator could see."""
    for_good = Policy(version=1, block_ms=0, threshold=1)
    assert rule_attempt(for_good, CLEAN, False, 7, MINE).until_ms == 7 + for_good.window_ms


def test_what_clears_an_account_trusts_no_device_again():
    """Unless it has another password, with which no former cookie is known."""
    state = device_state(5)
    strangers = rule_attempt(DEFAULT, state, False, 100).state
    cleared = rule_attempt(DEFAULT, strangers, True, 101).state
    assert (cleared.devices, cleared.failures_ms) == (state.devices, ())
    unblocked = rule_clearing(strangers, 101, same_password=True).state
    assert [(each.id, each.until_ms) for each in unblocked.devices] == [(MINE, 0)]
    assert rule_attempt(DEFAULT, unblocked, False, 102, MINE).state.failures_ms == (102,)
    assert rule_clearing(strangers, 101).state == CLEAN


def test_an_account_has_so_many_devices_and_a_used_up_one_stays():
    """Its owner alone can make others, and a thief's copy must not be trusted again by that."""
    state = device_state(5, device=bytes(16))
    for n in range(1, MOST_DEVICES + 5):
        state = device_state(1, device=n.to_bytes(16, "big"), state=state)
    numbers = [int.from_bytes(each.id, "big") for each in state.devices]
    assert numbers == [0, *range(6, MOST_DEVICES + 5)]
    for n in range(6, MOST_DEVICES + 5):
        state = device_state(4, device=n.to_bytes(16, "big"), state=state)
    state = device_state(1, device=b"n" * 16, state=state)
    assert len(state.devices) == MOST_DEVICES
    assert int.from_bytes(state.devices[0].id, "big") == 6


def test_everything_is_forgotten_at_the_same_time():
    """A row is deleted when it decides as none does."""
    state = device_state(5)
    later = 4 + DEFAULT.forget_ms
    assert rule_attempt(DEFAULT, state, False, later - 1, MINE).state.failures_ms != ()
    fresh = rule_attempt(DEFAULT, state, False, later, MINE).state
    assert [each.failures for each in fresh.devices] == [1]


def test_the_same_wrong_password_counts_once_where_the_policy_says_so():
    """Five of them block by default, as the API has it."""
    same = (b"g" * 8,)
    for policy, expected in ((DEFAULT, 1), (IGNORING, 0)):
        state = CLEAN
        for n in range(5):
            ruling = rule_attempt(policy, state, False, n, None, same)
            assert ruling.decision == Decision.REJECTED
            state = ruling.state
        assert ruling.change == expected
    assert state.consecutive_failures == 1
    for n, letter in enumerate(b"abcd"):
        ruling = rule_attempt(IGNORING, state, False, 5 + n, None, (bytes([letter]) * 8,))
        state = ruling.state
    assert ruling.change == 1


def test_a_repeated_guess_counts_from_its_last_time_and_by_its_new_key():
    """A program that repeats an old password for a week is one wrong password all the time."""
    state, now = CLEAN, 0
    for n in range(2_000):
        now += IGNORING.window_ms // 2
        key, former = n.to_bytes(8, "big"), (n - 1).to_bytes(8, "big") if n else b"-" * 8
        state = rule_attempt(IGNORING, state, False, now, None, (key, former)).state
    assert (state.consecutive_failures, state.failures_ms) == (1, (now,))


def test_a_guess_is_known_for_as_long_as_it_counts():
    """Behind the window it is a wrong password like any other; without one it always is."""
    state = rule_attempt(IGNORING, CLEAN, False, 0, None, (b"g" * 8,)).state
    later = IGNORING.window_ms
    assert rule_attempt(IGNORING, state, False, later, None, (b"g" * 8,)).state == state._replace(
        failures_ms=(later,), consecutive_failures=2, last_ms=later
    )
    assert rule_attempt(IGNORING, state, False, 1).state.failures_ms == (0, 1)


def test_the_same_wrong_password_of_a_device_counts_once_too():
    """Its owner types what was right last year."""
    state = CLEAN
    for n in range(20):
        state = rule_attempt(IGNORING, state, False, n, MINE, (b"g" * 8,)).state
    assert [(each.failures, each.until_ms) for each in state.devices] == [(1, None)]
    for n, letter in enumerate(b"abcd"):
        state = rule_attempt(IGNORING, state, False, 20 + n, MINE, (bytes([letter]) * 8,)).state
    assert [each.until_ms for each in state.devices] == [23 + IGNORING.block_ms]


@pytest.mark.parametrize(
    ("forget_ms", "forget_each_ms", "after_one", "after_three"),
    [(1_000, 0, 1_000, 1_000), (1_000, 400, 400, 1_000), (0, 400, 400, 1_200), (0, 0, 0, 0)],
)
def test_few_are_forgotten_sooner(forget_ms, forget_each_ms, after_one, after_three):
    """A flood of single guesses at names leaves rows for days and not for a year; a block counts
    as long as the wrong ones that led to it, and no state counts longer than the policy says."""
    policy = Policy(
        version=1, threshold=3, block_ms=1, forget_ms=forget_ms, forget_each_ms=forget_each_ms
    )
    state, after = CLEAN, []
    for moment in range(3):
        state = rule_attempt(policy, state, False, 1_000 + moment).state
        after.append(state.forget_ms)
    assert (after[0], after[2]) == (after_one, after_three)
    assert state.until_ms


def test_devices_are_forgotten_no_sooner():
    """A copied cookie is not trusted again because few strangers have guessed."""
    policy = Policy(version=1, forget_each_ms=400)
    state = rule_attempt(policy, device_state(1), False, 1_000).state
    assert state.forget_ms == policy.forget_ms


# ---- by hand


def test_a_block_by_hand_refuses_everybody_until_it_is_over() -> None:
    """Devices, too, whose own counts stay; and afterwards all is as before."""
    known = rule_attempt(DEFAULT, CLEAN, False, 1_000, DEVICE).state
    blocked = rule_block(DEFAULT, known, 2_000, 500, "robbed")
    assert (blocked.decision, blocked.until_ms, blocked.change) == (Decision.ACCEPTED, 2_500, 1)
    assert blocked.state.why == "by hand: robbed"
    for device in (None, DEVICE):
        for right in (True, False):
            refused = rule_attempt(DEFAULT, blocked.state, right, 2_400, device)
            assert refused == Ruling(Decision.BLOCKED, blocked.state, 2_500, 0)
    after = rule_attempt(DEFAULT, blocked.state, False, 2_600, DEVICE)
    assert after.decision == Decision.REJECTED
    assert [each.failures for each in after.state.devices] == [2]
    assert rule_attempt(DEFAULT, blocked.state, True, 2_600).decision == Decision.ACCEPTED


def test_a_block_by_hand_shortens_none_and_is_no_step_to_longer_ones() -> None:
    """Whoever wants less lifts the one that stands first."""
    forever = rule_block(DEFAULT, CLEAN, 1_000, 0, None)
    assert (forever.until_ms, forever.state.why, forever.state.blocks) == (FOREVER, "by hand", 0)
    again = rule_block(DEFAULT, forever.state, 2_000, 500, "other")
    assert (again.until_ms, again.state.since_ms, again.change) == (FOREVER, 2_000, 1)


def test_what_does_not_count_any_more_is_not_there_for_a_block_by_hand() -> None:
    """As retention may have deleted it already."""
    counted = LockState((900,), 7, 2, None, None, None, 1_000, 5_000)
    assert rule_block(DEFAULT, counted, 5_999, 10, None).state.consecutive_failures == 7
    assert rule_block(DEFAULT, counted, 6_000, 10, None).state.consecutive_failures == 0


def test_only_an_operator_ends_a_block_by_hand() -> None:
    """Not whoever registers the name, nor a change of the password that was under way."""
    blocked = rule_block(DEFAULT, CLEAN, 1_000, 500, "robbed").state
    kept = rule_clearing(blocked, 1_400, by_operator=False)
    assert kept == Ruling(Decision.BLOCKED, blocked, 1_500, 0)
    assert rule_clearing(blocked, 1_400) == Ruling(Decision.ACCEPTED, CLEAN, 0, -1)
    over = rule_clearing(blocked, 1_500, by_operator=False)
    assert over == Ruling(Decision.REJECTED, CLEAN, 0, 0)


def test_a_note_changes_nothing() -> None:
    """It says whether the account is blocked."""
    blocked = rule_block(DEFAULT, CLEAN, 1_000, 500, "robbed").state
    assert rule_note(blocked, 1_400) == Ruling(Decision.ACCEPTED, blocked, 1_500, 0)
    assert rule_note(blocked, 1_500) == Ruling(Decision.ACCEPTED, blocked, 0, 0)
