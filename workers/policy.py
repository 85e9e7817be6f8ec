"""When an account is blocked: a pure function of policy, stored state, attempt and append time."""

from __future__ import annotations

from typing import NamedTuple

from events.messages import FOREVER, Decision, Policy


class LockState(NamedTuple):
    """What an account has against it. Times are append times in milliseconds."""

    failures_ms: tuple[int, ...] = ()
    """The wrong passwords that still count towards the next block, oldest first."""
    in_a_row: int = 0
    """Wrong passwords since the last success, over all blocks."""
    blocks: int = 0
    """Blocks since the last success."""
    since_ms: int | None = None
    until_ms: int | None = None
    """The end of the last block, which may be over; ``FOREVER`` if only an operator lifts it."""
    why: str | None = None
    last_ms: int = 0
    """The latest append time seen: a later attempt is never taken for an earlier one."""


CLEAN = LockState()


class Ruling(NamedTuple):
    """What follows from one request: the decision, and the account's state after it."""

    decision: Decision
    state: LockState
    until_ms: int
    """The end of the block that holds after this; 0 if none does."""
    change: int
    """1 if this blocked the account, -1 if it ended a block that stood, else 0."""


def rule_attempt(policy: Policy, state: LockState, right: bool, appended_ms: int) -> Ruling:
    """Decide a login attempt.

    While a block stands nothing is revealed, counted or extended, whatever the password was.
    """
    now = max(appended_ms, state.last_ms)
    if state.until_ms is not None and state.until_ms > now:
        return Ruling(Decision.BLOCKED, state, state.until_ms, 0)
    if 0 < policy.forget_ms <= now - state.last_ms:
        state = CLEAN  # as if it had been deleted: forget_lock_states() may have done so
    if right:
        return Ruling(Decision.ACCEPTED, CLEAN, 0, 0)

    failures = (*(t for t in state.failures_ms if now - t < policy.window_ms), now)
    in_a_row = state.in_a_row + 1
    if policy.final_failures and in_a_row >= policy.final_failures:
        until, why = FOREVER, f"{in_a_row} wrong passwords in a row"
    elif len(failures) >= policy.threshold:
        until = _block_end(policy, state.blocks, now)
        why = f"{len(failures)} wrong passwords within {policy.window_ms / 1000:g} s"
    else:
        counted = state._replace(failures_ms=failures, in_a_row=in_a_row, last_ms=now)
        return Ruling(Decision.REJECTED, counted, 0, 0)
    blocked = LockState((), in_a_row, state.blocks + 1, now, until, why, now)
    return Ruling(Decision.REJECTED, blocked, until, 1)


def rule_clearing(state: LockState, appended_ms: int) -> Ruling:
    """Forget all that an account has against it; ACCEPTED if that lifted a block."""
    now = max(appended_ms, state.last_ms)
    if state.until_ms is not None and state.until_ms > now:
        return Ruling(Decision.ACCEPTED, CLEAN, 0, -1)
    return Ruling(Decision.REJECTED, CLEAN, 0, 0)


def _block_end(policy: Policy, blocks_before: int, now: int) -> int:
    if policy.block_ms == 0:
        return FOREVER
    # The exponent is bounded before it is used: 2**100 blocks would be a long wait for an answer.
    doubled = policy.block_ms << min(blocks_before, 40)
    return now + max(policy.block_ms, min(doubled, policy.block_max_ms))
