"""A batch is decided record by record, however the log is cut into batches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from events.messages import (
    Attempt,
    Decision,
    Policy,
    Registered,
    SetPolicy,
    Unblock,
    encode,
    new_id,
)
from workers.batch import Record, decide, decode
from workers.policy import CLEAN, LockState

users = st.sampled_from(["ana", "bob", "eve"])
messages = st.one_of(
    st.builds(
        lambda u, r: Attempt(new_id(), 0, u, r), users, st.sampled_from([False] * 4 + [True])
    ),
    st.builds(lambda u: Unblock(new_id(), 0, u), users),
    st.builds(lambda u: Registered(new_id(), 1, u), users),
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
        some = records[at : at + sizes[turn % len(sizes)]]
        batch = decide(at, decode(some), dict(states), policy)
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


@given(st.lists(values, max_size=60))
def test_every_record_is_decided_once_or_put_aside(log):
    """No offset is skipped and none is decided twice."""
    _, audit, bad, _ = replay(records_of(log), [7])
    offsets = [row.offset for row in audit] + [record.offset for record, _ in bad]
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
