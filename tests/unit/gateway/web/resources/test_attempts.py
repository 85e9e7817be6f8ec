"""Operators see all of the audit, but for the fields that are listed here."""

from __future__ import annotations

import pytest

from events.messages import Decision
from gateway.postgres.operator_queries import DecisionRow
from gateway.web.resources.attempts import _decided
from gateway.web.schemas import AuditedRequest
from workers.partition.binary_arrays import AUDIT

SHOWN = {
    "appended_ms": ("appended_ms", "at"),
    "offset": ("log_offset", "offset"),
    "kind": ("kind", "kind"),
    "user": ("username", "user"),
    "right": ("right_password", "outcome"),
    "decision": ("decision", "verdict"),
    "policy_version": ("policy_version", "policy"),
    "source": ("source", "source"),
    "user_agent": ("user_agent", "user_agent"),
    "id": ("id", "id"),
    "delayed_ms": ("delayed_ms", "delayed_ms"),
    "device": ("device", "device"),
    "operator": ("operator", "operator"),
    "reason": ("reason", "reason"),
}
"""Fields of the audit, each with its name in the query and in the answer."""

NOT_SHOWN = {
    "until_ms": "GET /blocked/<user> has the block",
    "change": "follows from the verdicts around it",
    "guess": "stands for a password; without the gateways' key it says nothing",
    "reply_partition": "only a gateway that waits for the verdict has a use for it",
}

WHERE = ("partition", "generation")
"""Shown as well; the whole batch has the same."""

ROW = DecisionRow(
    *(
        1_800_000_000_000,
        3,
        1,
        17,
        "attempt",
        "ana",
        True,
        0,
        1,
        "192.0.2.7",
        "curl",
        b"1" * 16,
        0,
        None,
        None,
        None,
    )
)
OTHER = DecisionRow(
    *(
        1_800_000_001_000,
        4,
        2,
        18,
        "registered",
        "ben",
        False,
        1,
        2,
        None,
        None,
        b"2" * 16,
        900,
        b"\3\4\5\6",
        "ana",
        "a reason",
    )
)


def test_each_field_of_the_audit_is_shown_or_listed() -> None:
    """A field that is added is shown, or the list says why it is not."""
    assert sorted([*SHOWN, *NOT_SHOWN]) == sorted(AUDIT)
    selected, answered = zip(*SHOWN.values(), strict=True)
    assert sorted(DecisionRow._fields) == sorted([*selected, *WHERE])
    assert sorted(AuditedRequest.__struct_fields__) == sorted([*answered, *WHERE])


@pytest.mark.parametrize("field", DecisionRow._fields)
def test_each_field_of_a_row_is_in_the_answer(field: str) -> None:
    """Rows that differ in one field do not look the same."""
    changed = ROW._replace(**{field: getattr(OTHER, field)})
    assert _decided(changed) != _decided(ROW)


@pytest.mark.parametrize("decision", Decision)
def test_the_audit_says_nothing_of_right_or_wrong_behind_a_block(decision: Decision) -> None:
    """A guess that was right there still opens the account, once the block is over."""
    shown = [
        _decided(ROW._replace(right_password=right, decision=decision)) for right in (True, False)
    ]
    assert (shown[0] == shown[1]) == (decision not in (Decision.ACCEPTED, Decision.REJECTED))
