"""What follows from decisions, without any I/O."""

from __future__ import annotations

from typing import Any

import pytest

from events.messages import FOREVER
from workers.relay.event import (
    KINDS,
    Decided,
    End,
    events_of,
    expired,
    key_of,
    type_of,
)

END = End(2_000, 1_000, 0, 1, 7)


def row(**fields: Any) -> Decided:
    """A decision that blocked ana until 5 s."""
    values: dict[str, Any] = {
        **{"partition": 0, "generation": 1, "offset": 9, "appended_ms": 3_000, "id": bytes(16)},
        **{"kind": "attempt", "user": "ana", "until_ms": 5_000, "change": 1},
        **{"policy_version": 1, "source": None, "user_agent": None},
        **{"operator": None, "reason": None},
    }
    return Decided(**values | fields)


@pytest.mark.parametrize(
    ("decision", "before", "kinds", "after"),
    [
        (row(), None, ["account.blocked"], End(5_000, 3_000, 0, 1, 9)),
        (row(until_ms=FOREVER), None, ["account.blocked"], None),
        (row(), END, ["account.block_expired", "account.blocked"], End(5_000, 3_000, 0, 1, 9)),
        (row(appended_ms=1_999), END, ["account.blocked"], End(5_000, 1_999, 0, 1, 9)),
        (row(kind="block", until_ms=FOREVER, appended_ms=1_500), END, ["account.blocked"], None),
        (row(kind="unblock", change=-1, until_ms=0), END, ["account.unblocked"], None),
        (row(kind="policy", change=0, user=""), END, ["policy.changed"], END),
        (row(user=""), END, [], END),
    ],
    ids=["blocked", "for ever", "again", "longer", "by hand", "lifted", "policy", "deleted"],
)
def test_what_follows_from_a_decision(
    decision: Decided, before: End | None, kinds: list[str], after: End | None
):
    """The events in their order, and the end that is to come."""
    ends = {} if before is None else {"ana": before}
    assert [type_of(event) for event in events_of(decision, ends)] == kinds
    assert ends.get("ana") == after


def test_an_id_follows_from_the_decision_and_no_two_events_share_one():
    """By it a receiver drops what is sent again; the end of a block has an id before it comes."""
    blocked, again, began_anew = row(), row(offset=10), row(appended_ms=3_001)
    events = [
        *events_of(blocked, ends := {}),
        expired("ana", ends["ana"]),
        *events_of(again, {}),
        *events_of(row(kind="unblock", change=-1), {}),
        *events_of(row(kind="policy"), {}),
        *events_of(row(partition=1), {}),
        *events_of(row(generation=2), {}),
        *events_of(began_anew, ends := {}),  # with Postgres and the log
        expired("ana", ends["ana"]),
    ]
    assert len({event.id for event in events}) == len(events)
    assert events_of(blocked, {}) == events_of(blocked, {})


def test_what_concerns_an_account_has_its_name_as_key():
    """Records of one key are in order."""
    [policy] = events_of(row(kind="policy"), {})
    assert key_of(policy) is None
    assert {key_of(event) for event in events_of(row(), {"ana": END})} == {"ana"}
    assert type_of(policy) in KINDS
