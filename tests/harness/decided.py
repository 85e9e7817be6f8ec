"""Logs, decided by the workers' own pure parts, as the audit has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from events.messages import (
    Attempt,
    AttemptsMessage,
    Block,
    Deleted,
    Disabled,
    PasswordChanged,
    Policy,
    Registered,
    SetPolicy,
    Unblock,
    encode,
)
from events.signatures import Sealer
from oracle import seals
from oracle.seals import Row, Seal
from workers.decision.batch import Record, decide, decode, until_deletion
from workers.decision.policy import LockState
from workers.partition.seals import AUDIT_LOG, SealChain

START = 1_700_000_000_000
POLICY = Policy(
    version=1, threshold=3, window_ms=1_000, block_ms=500, block_max_ms=1_500, final_failures=9
)

KINDS = (
    "wrong",
    "wrong",
    "wrong 1",
    "wrong 2",
    "right",
    "registered",
    "unblock",
    "password",
    "disabled",
    *("block", "block 300"),
)
USERS = ("anna", "ben", "anna on 1", "anna on 2", "ben on 1")

STEPS = st.lists(
    st.tuples(st.integers(0, 700), st.sampled_from(KINDS), st.sampled_from(USERS)), max_size=60
)
"""Pauses in milliseconds, what happens then, and to whom."""

POLICIES = st.sampled_from(
    [
        POLICY,
        Policy(1, 3, 1_000, 500, 1_500, 9, 2_000, "ignore"),
        Policy(1, 2, 1_000, 500, 1_500, 0, 3_000, "count", 800),
        Policy(1, 3, 1_000, 0, 0, 0, 0, "ignore", 900),
    ]
)


class Decided(NamedTuple):
    """A batch as verifying sees it."""

    seal: Seal
    rows: list[Row]


def id_of(offset: int) -> bytes:
    """The id of the request at this offset."""
    return offset.to_bytes(16)


def log_of(
    steps: Sequence[tuple[int, str, str]], policy: Policy = POLICY
) -> list[tuple[int, AttemptsMessage]]:
    """A log of these steps, after the policy, with the append times."""
    now = START
    log: list[tuple[int, AttemptsMessage]] = [(now, SetPolicy(id_of(0), 0, policy))]
    for pause, what, name in steps:
        now += pause
        id_ = id_of(len(log))
        kind, _, password = what.partition(" ")
        user, _, device = name.partition(" on ")
        message: AttemptsMessage
        match kind:
            case "registered":
                message = Registered(id_, 1, user)
            case "unblock":
                message = Unblock(id_, 1, user, operator="ana", reason="she called")
            case "password":
                message = PasswordChanged(id_, 1, user)
            case "deleted":
                message = Deleted(id_, 1, user)
            case "block":
                length = int(password or 0)
                message = Block(id_, 1, user, 0, 0, "añá", "robbed", length)
            case "disabled":
                message = Disabled(id_, 1, user, operator="añá", reason="leaves")
            case "policy":
                message = SetPolicy(id_, 1, policy_of(int(password)))
            case _:
                by = bytes([int(device)] * 16) if device else None
                guess = int(password).to_bytes(8, "big") if password else None
                message = Attempt(
                    *(id_, 1, user, kind == "right", 0, 0, "192.0.2.7", "curl", by, guess)
                )
        log.append((now, message))
    return log


def policy_of(version: int) -> Policy:
    """A policy by which fewer or more block."""
    return Policy(version, 1 + version % 4, 1_000, 500)


def decided(log: Sequence[tuple[int, AttemptsMessage]], batch_size: int = 3) -> list[Decided]:
    """The batches of a log, in partition 0."""
    records = [Record(n, ms, b"k", encode(message)) for n, (ms, message) in enumerate(log)]
    states: dict[str, LockState] = {}
    policy: Policy | None = None
    chain = SealChain(Sealer(None, AUDIT_LOG))
    found, start = [], 0
    while start < len(records):
        some = until_deletion(decode(records[start : start + batch_size]))
        batch = decide(start, some, states, policy)
        sealed = chain.seal(0, 1, policy, batch)
        chain.begin(sealed.digest, sealed.latest_ms)
        states |= {user: state for user, (state, _) in batch.states.items()}
        policy, start = batch.policy, batch.to_offset
        rows = [
            Row(
                *(row.offset, row.appended_ms, row.id, row.kind, row.user, row.right),
                *(int(row.decision), *row[7:-2], salt, row.operator, row.reason),
            )
            for row, salt in zip(batch.audit, sealed.salts, strict=True)
        ]
        found.append(Decided(seals.read(sealed.value), rows))
    return found
