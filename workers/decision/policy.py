"""Decides when an account is blocked: a pure function of policy, state, attempt and append time."""

from __future__ import annotations

from typing import NamedTuple

from events.messages import FOREVER, Decision, Policy

MOST_DEVICES = 16
"""Devices of an account whose wrong passwords are known at the same time."""

GUESS_BYTES = 8

UNKNOWN = bytes(GUESS_BYTES)
"""In the place of a counted guess that its sender did not tell."""


class Device(NamedTuple):
    """The wrong passwords of one of an account's devices."""

    id: bytes
    failures: int = 0
    """All that it ever counted; a success gives a new device and clears nothing."""
    until_ms: int | None = None
    """The end of its block, which may be over; None: it is trusted still."""
    guesses: tuple[bytes, ...] = ()
    """Those that counted, where their sender told them."""


class LockState(NamedTuple):
    """An account's wrong passwords and blocks. Times are append times in milliseconds."""

    failures_ms: tuple[int, ...] = ()
    """The wrong passwords that still count towards the next block, oldest first."""
    consecutive_failures: int = 0
    """Wrong passwords since the last success, over all blocks."""
    blocks: int = 0
    """Blocks since the last success."""
    since_ms: int | None = None
    until_ms: int | None = None
    """The end of the last block, which may be over; ``FOREVER`` if only an operator lifts it."""
    why: str | None = None
    last_ms: int = 0
    """The latest append time seen; a later attempt counts as no earlier than this."""
    forget_ms: int = 0
    """How long after ``last_ms`` this state counts, by the policy that made it; 0: for ever.

    Data of the state, so that neither a later policy nor the moment of its deletion matters.
    """
    by_hand: bool = False
    """Whether an operator asked for the last block: it refuses devices, too."""
    guesses: tuple[bytes, ...] = ()
    """The guesses of ``failures_ms``, in its order; none where no sender told any."""
    devices: tuple[Device, ...] = ()
    """Devices with wrong passwords, the one that guessed last at the end."""


CLEAN = LockState()


class Ruling(NamedTuple):
    """The result of one request: the decision, and the account's state after it."""

    decision: Decision
    state: LockState
    until_ms: int
    """The end of the account's block after this; 0 if it is not blocked."""
    change: int
    """1 if this blocked the account, -1 if it ended a block, else 0."""


def rule_attempt(
    policy: Policy,
    state: LockState,
    right: bool,
    appended_ms: int,
    device: bytes | None = None,
    guesses: tuple[bytes, ...] = (),
) -> Ruling:
    """Decide a login attempt.

    While the account is blocked, nothing is revealed, counted or extended, whatever the password.
    A trusted ``device`` has a count of its own: the account's block does not refuse it, and what it
    does clears and adds nothing there. With its last wrong password it is blocked, and after its
    block nobody trusts it any more.

    ``guesses`` are those by which this wrong password may have counted before; it counts by the
    first one. If the policy ignores repeated ones, one that still counts is rejected again, and
    what counts is the new one in its place.

    A block by hand refuses devices as well.
    """
    now = max(appended_ms, state.last_ms)
    blocked = state.until_ms is not None and state.until_ms > now
    if not blocked and 0 < state.forget_ms <= now - state.last_ms:
        state = CLEAN  # as if forget_lock_states() had deleted it already
    if policy.repeated_guesses != "ignore":
        guesses = ()
    if device is not None and not (blocked and state.by_hand):
        known = next((each for each in state.devices if each.id == device), Device(device))
        if known.until_ms is None:
            return _rule_device(policy, state, known, right, now, guesses)
        if known.until_ms > now:
            return Ruling(Decision.BLOCKED, state, known.until_ms, 0)
    if blocked:
        assert state.until_ms is not None
        return Ruling(Decision.BLOCKED, state, state.until_ms, 0)
    if right:
        return Ruling(Decision.ACCEPTED, _cleared(state), 0, 0)

    known_guesses = state.guesses or (UNKNOWN,) * len(state.failures_ms)
    counting = [
        (then, guess)
        for then, guess in zip(state.failures_ms, known_guesses, strict=True)
        if now - then < policy.window_ms
    ]
    others = [each for each in counting if each[1] not in guesses]
    repeated = len(others) < len(counting)
    counting = [*others, (now, guesses[0] if guesses else UNKNOWN)]
    consecutive_failures = state.consecutive_failures + (not repeated)
    counted = state._replace(
        failures_ms=tuple(then for then, _ in counting),
        consecutive_failures=consecutive_failures,
        last_ms=now,
        forget_ms=_forget_ms(policy, state, consecutive_failures),
        guesses=_told([guess for _, guess in counting]),
    )
    if repeated:
        return Ruling(Decision.REJECTED, counted, 0, 0)
    if policy.final_failures and consecutive_failures >= policy.final_failures:
        until, why = FOREVER, f"{consecutive_failures} wrong passwords in a row"
    elif len(counting) >= policy.threshold:
        until = _block_end(policy, state.blocks, now)
        why = f"{len(counting)} wrong passwords within {policy.window_ms / 1000:g} s"
    else:
        return Ruling(Decision.REJECTED, counted, 0, 0)
    blocked_now = counted._replace(
        failures_ms=(),
        guesses=(),
        blocks=state.blocks + 1,
        since_ms=now,
        until_ms=until,
        why=why,
        by_hand=False,
    )
    return Ruling(Decision.REJECTED, blocked_now, until, 1)


def _rule_device(
    policy: Policy,
    state: LockState,
    device: Device,
    right: bool,
    now: int,
    guesses: tuple[bytes, ...],
) -> Ruling:
    """Decide an attempt by a device that is trusted."""
    if right:
        return Ruling(Decision.ACCEPTED, state, 0, 0)
    others = tuple(guess for guess in device.guesses if guess not in guesses)
    until = 0
    if len(others) == len(device.guesses):
        device = device._replace(failures=device.failures + 1)
        if device.failures >= policy.threshold:
            # Only a time ends it: nobody would unblock what is on no list.
            until = now + (policy.block_ms or policy.window_ms)
            device, others, guesses = device._replace(until_ms=until), (), ()
    device = device._replace(guesses=(*others, *guesses[:1]))
    return Ruling(
        Decision.REJECTED,
        state._replace(
            last_ms=now, forget_ms=policy.forget_ms, devices=_with(state.devices, device)
        ),
        until,
        0,
    )


def _with(devices: tuple[Device, ...], device: Device) -> tuple[Device, ...]:
    """The same with this one last. If they are too many, the first that is trusted goes.

    One that is not trusted any more would be again; it goes only if all are so.
    """
    others = [each for each in devices if each.id != device.id]
    if len(others) >= MOST_DEVICES:
        others.remove(next((each for each in others if each.until_ms is None), others[0]))
    return (*others, device)


def _told(guesses: list[bytes]) -> tuple[bytes, ...]:
    return tuple(guesses) if any(guess != UNKNOWN for guess in guesses) else ()


def _cleared(state: LockState) -> LockState:
    """Nothing stands against the account; what its devices have guessed is known still."""
    if not state.devices:
        return CLEAN
    return CLEAN._replace(last_ms=state.last_ms, forget_ms=state.forget_ms, devices=state.devices)


def rule_block(
    policy: Policy, state: LockState, appended_ms: int, length_ms: int, reason: str | None
) -> Ruling:
    """Block an account by hand, for so long (0: until an operator lifts it).

    A block that stands is never shortened. It is no step towards longer blocks.
    """
    now = max(appended_ms, state.last_ms)
    until = now + length_ms if length_ms else FOREVER
    if state.until_ms is not None and state.until_ms > now:
        until = max(until, state.until_ms)
    elif 0 < state.forget_ms <= now - state.last_ms:
        state = CLEAN  # as for an attempt
    blocked_now = state._replace(
        failures_ms=(),
        guesses=(),
        since_ms=now,
        until_ms=until,
        why=f"by hand: {reason}" if reason else "by hand",
        last_ms=now,
        forget_ms=policy.forget_ms,
        by_hand=True,
    )
    return Ruling(Decision.ACCEPTED, blocked_now, until, 1)


def rule_clearing(
    state: LockState,
    appended_ms: int,
    *,
    same_password: bool = False,
    by_operator: bool = True,
) -> Ruling:
    """Clear an account's state: ACCEPTED if that lifted a block, else REJECTED.

    With the ``same_password`` the blocks of its devices end too, but none is trusted again. Another
    one has other devices, so these are forgotten. BLOCKED, and nothing is changed, where nobody but
    an operator may end the block.
    """
    now = max(appended_ms, state.last_ms)
    if not by_operator and state.by_hand and state.until_ms is not None and state.until_ms > now:
        return Ruling(Decision.BLOCKED, state, state.until_ms, 0)
    after = CLEAN
    if same_password:
        devices = tuple(
            each if each.until_ms is None else each._replace(until_ms=0) for each in state.devices
        )
        after = _cleared(state._replace(devices=devices))
    if state.until_ms is not None and state.until_ms > now:
        return Ruling(Decision.ACCEPTED, after, 0, -1)
    return Ruling(Decision.REJECTED, after, 0, 0)


def is_forgotten(state: LockState, ms: int) -> bool:
    """Whether a state counts for nothing any more from then on."""
    blocked = state.until_ms is not None and state.until_ms > ms
    return not blocked and 0 < state.forget_ms <= ms - state.last_ms


def rule_note(state: LockState, appended_ms: int) -> Ruling:
    """Take what was done elsewhere: it changes nothing."""
    now = max(appended_ms, state.last_ms)
    blocked = state.until_ms is not None and state.until_ms > now
    return Ruling(Decision.ACCEPTED, state, state.until_ms or 0 if blocked else 0, 0)


def rule_deletion(state: LockState, appended_ms: int) -> Ruling:
    """Decide a deletion: BLOCKED while the account is blocked, which changes nothing."""
    now = max(appended_ms, state.last_ms)
    if state.until_ms is not None and state.until_ms > now:
        return Ruling(Decision.BLOCKED, state, state.until_ms, 0)
    return Ruling(Decision.ACCEPTED, CLEAN, 0, 0)


def _forget_ms(policy: Policy, state: LockState, consecutive_failures: int) -> int:
    """How long these count, beside what stands in the state.

    In proportion to their number, so that one wrong password at each of a million names is soon no
    row any more; and guesses for which somebody waits until the former are forgotten come at the
    same pace, however many they are at a time. A device's count for as long as the policy has it:
    there are none at names that nobody has.
    """
    if not policy.forget_each_ms or state.devices:
        return policy.forget_ms
    all_of_them = consecutive_failures * policy.forget_each_ms
    return min(all_of_them, policy.forget_ms) if policy.forget_ms else all_of_them


def _block_end(policy: Policy, blocks_before: int, now: int) -> int:
    if policy.block_ms == 0:
        return FOREVER
    # The exponent is bounded before it is used: 2**100 would take long to compute.
    doubled = policy.block_ms << min(blocks_before, 40)
    return now + max(policy.block_ms, min(doubled, policy.block_max_ms))
