"""A batch is decided record by record, however the log is cut into batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.messages import (
    Attempt,
    Block,
    Decision,
    Deleted,
    Enabled,
    PasswordChanged,
    Policy,
    Registered,
    SetLayout,
    SetPolicy,
    Unblock,
    UndecodableError,
    encode,
    new_id,
)
from events.partitioner import partition_of
from workers.decision.batch import (
    Record,
    decide,
    decode,
    refuse_misrouted,
    until_deletion,
)
from workers.decision.policy import CLEAN, LockState
from workers.partition.deduplication import RecentIds

users = st.sampled_from(["ana", "bob", "eve"])
messages = st.one_of(
    st.builds(
        lambda u, r: Attempt(new_id(), 0, u, r), users, st.sampled_from([False] * 4 + [True])
    ),
    st.builds(lambda u: Unblock(new_id(), 0, u), users),
    st.builds(lambda u: Registered(new_id(), 1, u), users),
    st.builds(lambda u, ms: Block(new_id(), 0, u, length_ms=ms), users, st.sampled_from([0, 30])),
    st.builds(lambda u: Enabled(new_id(), 0, u, operator="cleo"), users),
    st.builds(lambda u: PasswordChanged(new_id(), 1, u), users),
    st.builds(lambda u: Deleted(new_id(), 1, u), users),
    st.builds(
        lambda v, t: SetPolicy(new_id(), 0, Policy(version=v, threshold=t, block_ms=20)),
        st.integers(0, 5),
        st.integers(1, 5),
    ),
)
values = st.one_of(messages.map(encode), st.binary(max_size=8))


def records_of(log: list[bytes]) -> list[Record]:
    """A log whose records are ten milliseconds apart."""
    return [Record(n, 1_000 + 10 * n, b"", value) for n, value in enumerate(log)]


def replay(records: list[Record], sizes: list[int]):
    """Decide a log in batches of these sizes (repeated); final states, audit, bad ones, policy."""
    states: dict[str, LockState] = {}
    audit, bad, policy, at, turn = [], [], None, 0, 0
    while at < len(records):
        some = until_deletion(decode(records[at : at + sizes[turn % len(sizes)]]))
        batch = decide(at, some, dict(states), policy)
        assert batch.to_offset == at + len(some)
        for user, (state, _) in batch.states.items():
            states[user] = state
            if state == CLEAN:
                del states[user]
        audit += batch.audit
        bad += batch.undecodable
        policy = batch.policy
        at, turn = at + len(some), turn + 1
    return states, audit, bad, policy


@given(st.lists(values, max_size=60), st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_the_cut_into_batches_does_not_matter(log, sizes):
    """One by one or many at once: the same states, verdicts and policy."""
    records = records_of(log)
    assert replay(records, [1]) == replay(records, sizes)


def test_a_part_of_a_guess_keeps_no_account_from_being_decided():
    """Two such were stored as fewer guesses than wrong passwords, and each later attempt failed."""
    policy = SetPolicy(new_id(), 0, Policy(1, repeated_guesses="ignore"))
    halves = [Attempt(new_id(), 0, "ana", False, guess=bytes(8) + b"half") for _ in range(2)]
    records = records_of([encode(message) for message in (policy, *halves)])
    batch = decide(0, decode(records), {}, None)
    assert [bad.record.offset for bad in batch.undecodable] == [1, 2]
    assert batch.states == {}


def test_a_batch_ends_before_a_deletion():
    """What stands before it is published, with the name, by when the name is taken out of it."""
    log = [Attempt(new_id(), 0, "ana", False), Deleted(new_id(), 0, "ana", version=7)]
    decoded = decode(records_of([encode(log[n]) for n in (0, 1, 0, 1)]))
    assert until_deletion(decoded) == decoded[:1]
    assert until_deletion(decoded[1:]) == decoded[1:3]
    assert until_deletion(decoded[:1]) == decoded[:1]
    assert decide(0, decoded[:1], {}, None).deletion is None
    batch = decide(1, decoded[1:2], {"ana": LockState((1,), 1)}, None)
    assert batch.deletion == log[1]
    assert batch.states == {"ana": (CLEAN, 1)}
    assert [(row.kind, row.user, row.decision) for row in batch.audit] == [
        ("deleted", "", Decision.ACCEPTED)
    ]


def test_a_deletion_of_what_is_blocked_waits_for_its_unblocking():
    """The news of that would say the name as long as the last batch can be published again."""
    blocked = LockState((), 5, 1, 0, 9_000, "why")
    decoded = decode(records_of([encode(Deleted(new_id(), 0, "ana"))]))
    batch = decide(0, decoded, {"ana": blocked}, None)
    assert (batch.deletion, batch.states) == (None, {})
    assert [(row.decision, row.until_ms, row.change) for row in batch.audit] == [
        (Decision.BLOCKED, 9_000, 0)
    ]
    over = blocked._replace(until_ms=1_000)
    assert decide(0, decoded, {"ana": over}, None).states == {"ana": (CLEAN, 0)}


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("nothing", [Decision.MOVED, Decision.LATE])
def test_an_id_may_come_again_after_nothing_came_of_it(size, nothing):
    """A service asks again with its key; then it is decided, once, however the log is cut."""
    layouts, expires_ms = ((1, 2), 0) if nothing == Decision.MOVED else ((2, 2), 1)
    first = Attempt(new_id(), 0, "ana", True, layouts[0], expires_ms)
    again = Attempt(first.id, 0, "ana", True, layouts[1])
    values = [encode(message) for message in (first, first, again, first)]
    records, recent, decisions = records_of(values), RecentIds(1, 0), []
    for start in range(0, 4, size):
        decoded = decode(records[start : start + size])
        batch = decide(start, decoded, {}, Policy(version=1), 2, recent.is_repeated)
        recent.add(batch.audit)
        decisions += [row.decision for row in batch.audit]
    assert decisions == [nothing, nothing, Decision.ACCEPTED, Decision.REPEATED]


@given(st.lists(values, max_size=60))
def test_every_record_is_decided_once_or_put_aside(log):
    """No offset is skipped and none is decided twice."""
    _, audit, bad, _ = replay(records_of(log), [7])
    offsets = [row.offset for row in audit] + [record.offset for record, *_ in bad]
    assert sorted(offsets) == list(range(len(log)))


def test_a_policy_holds_from_its_record_on_and_older_ones_are_refused():
    """The record before it is decided by the old policy, the one after it by the new."""
    log = [
        encode(SetPolicy(new_id(), 0, Policy(version=7, threshold=1))),
        encode(Attempt(new_id(), 0, "ana", False)),
        encode(SetPolicy(new_id(), 0, Policy(version=7, threshold=3))),
        encode(Attempt(new_id(), 0, "bob", False)),
        encode(SetPolicy(new_id(), 0, Policy(version=8, threshold=2))),
        encode(Attempt(new_id(), 0, "eve", False)),
    ]
    batch = decide(0, decode(records_of(log)), {}, None)
    policies = [row for row in batch.audit if row.kind == "policy"]
    assert [row.decision for row in policies] == [
        Decision.ACCEPTED,
        Decision.REJECTED,
        Decision.ACCEPTED,
    ]
    attempts = [row for row in batch.audit if row.kind == "attempt"]
    assert [(row.user, row.change, row.policy_version) for row in attempts] == [
        ("ana", 1, 7),
        ("bob", 1, 7),
        ("eve", 0, 8),
    ]
    assert batch.policy == Policy(version=8, threshold=2)


def test_a_success_of_a_clean_account_writes_no_state():
    """An ordinary login costs its audit row and nothing else."""
    log = [encode(Attempt(new_id(), 0, "ana", True))]
    batch = decide(0, decode(records_of(log)), {}, Policy(version=1))
    assert batch.states == {}
    assert [row.decision for row in batch.audit] == [Decision.ACCEPTED]


def test_the_sixth_in_one_batch_reveals_nothing():
    """Within one batch, too, each attempt sees what the one before it did."""
    log = [encode(Attempt(new_id(), 0, "ana", n >= 5)) for n in range(8)]
    batch = decide(0, decode(records_of(log)), {}, Policy(version=1))
    assert [row.decision for row in batch.audit] == [Decision.REJECTED] * 5 + [Decision.BLOCKED] * 3
    assert [row.change for row in batch.audit] == [0] * 4 + [1] + [0] * 3


def test_who_reads_no_lists_is_answered_singly():
    """As an older gateway, which may have the same reply partition as a newer one."""
    log = [
        Attempt(new_id(), 1, "ana", False, lists=True),
        Attempt(new_id(), 1, "bob", False, lists=True),
        Attempt(new_id(), 2, "bob", False, lists=True),
        Attempt(new_id(), 2, "ana", False),
        Attempt(new_id(), 3, "ana", False, lists=True),
        Unblock(new_id(), 3, "ana"),
        Attempt(new_id(), 4, "eve", False),
    ]
    assert decide(0, decode(records_of([*map(encode, log)])), {}, None).lists == {1}


def test_what_no_gateway_writes_there_is_put_aside():
    """An account in two partitions would have two writers; a partition too many, none for ever."""
    here = partition_of("ana", 4)
    log = [
        encode(Attempt(new_id(), 0, "ana", False, 4)),
        encode(Attempt(new_id(), 0, "ana", False, 4)),
        encode(Attempt(new_id(), 0, "ana", False, 5)),
        encode(SetLayout(new_id(), 0, 5)),
        encode(SetLayout(new_id(), 0, 4)),
    ]
    routed = refuse_misrouted(decode(records_of(log)), here, 4, 4)
    bad = [offset for offset, (_, m) in enumerate(routed) if isinstance(m, UndecodableError)]
    assert bad == [2, 3]
    elsewhere = refuse_misrouted(decode(records_of(log)), (here + 1) % 4, 8, 4)
    assert [isinstance(m, UndecodableError) for _, m in elsewhere[:2]] == [True, True]


@pytest.mark.parametrize("kind", [Unblock, Registered])
def test_a_sender_that_names_no_number_of_partitions_chose_by_those_in_use(kind):
    """Else one record in a wrong partition would be decided there, by a second writer."""
    log = [encode(Attempt(new_id(), 0, "ana", False)), encode(kind(new_id(), 0, "ana"))]
    for partition in range(4):
        routed = refuse_misrouted(decode(records_of(log)), partition, 8, 4)
        bad = [isinstance(message, UndecodableError) for _, message in routed]
        assert bad == [partition != partition_of("ana", 4)] * 2


@pytest.mark.parametrize("size", [1, 3])
def test_a_layout_that_is_repeated_is_so_in_one_batch_and_across_two(size):
    """However the log is cut."""
    layout = encode(SetLayout(new_id(), 0, 2))
    records, recent, decisions = records_of([layout] * 3), RecentIds(1, 0), []
    for start in range(0, 3, size):
        decoded = decode(records[start : start + size])
        batch = decide(start, decoded, {}, Policy(version=1), 2, recent.is_repeated)
        recent.add(batch.audit)
        decisions += [row.decision for row in batch.audit]
    assert decisions == [Decision.ACCEPTED, Decision.REPEATED, Decision.REPEATED]


def test_a_layout_says_who_asked_for_it():
    """As a policy does."""
    log = [
        encode(SetLayout(new_id(), 0, 2, "cleo", "more hosts")),
        encode(SetLayout(new_id(), 0, 2)),
    ]
    batch = decide(0, decode(records_of(log)), {}, Policy(version=1), 2)
    assert [(row.operator, row.reason) for row in batch.audit] == [
        *(("cleo", "more hosts"), (None, None)),
    ]


@pytest.mark.parametrize("kind", ["right", "unblock", "registered"])
def test_what_clears_or_lets_in_comes_too_late_after_its_last_moment(kind):
    """Its sender has given up, and what came since must not be undone."""

    def message(expires_ms: int) -> bytes:
        if kind == "right":
            return encode(Attempt(new_id(), 0, "ana", True, 0, expires_ms))
        made = Unblock if kind == "unblock" else Registered
        return encode(made(new_id(), 0, "ana", 0, expires_ms))

    wrong = [encode(Attempt(new_id(), 0, "ana", False)) for _ in range(4)]
    now = records_of([b""] * 6)[4].appended_ms
    for expires_ms, late in [(0, False), (now, False), (now - 1, True)]:
        batch = decide(0, decode(records_of([*wrong, message(expires_ms)])), {}, Policy(version=1))
        assert (batch.audit[-1].decision == Decision.LATE) is late
        assert (batch.states["ana"][0].consecutive_failures == 4) is late


def test_a_wrong_password_counts_however_late_it_comes():
    """Otherwise a delayed guess would be a free one."""
    batch = decide(
        0, decode(records_of([encode(Attempt(new_id(), 0, "ana", False, 0, 1))])), {}, None
    )
    assert batch.audit[0].decision == Decision.REJECTED


def test_the_audit_has_the_beginning_of_a_devices_id_and_no_more():
    """Enough to tell an account's devices apart."""
    attempts = [
        encode(Attempt(new_id(), 0, "ana", False, device=device))
        for device in (bytes(range(16)), None)
    ]
    batch = decide(0, decode(records_of(attempts)), {}, Policy(version=1))
    assert [row.device for row in batch.audit] == [bytes(range(4)), None]
