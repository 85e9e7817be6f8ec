"""Events as OCSF has them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.workers.relay.test_documents import EXAMPLES
from workers.relay import ocsf
from workers.relay.event import (
    AnyEvent,
    AttackBegan,
    AttackEnded,
    OperatorLogin,
    PolicyChanged,
)

REQUIRED = {
    *("activity_id", "category_uid", "class_uid", "type_uid"),
    *("metadata", "severity_id", "time", "user"),
}
"""What version 1 of the schema requires of Authentication, with service or dst_endpoint."""

KNOWN = {
    *REQUIRED,
    *("activity_name", "category_name", "class_name", "severity"),
    *("status", "status_id", "status_detail", "message", "service", "actor"),
    *("src_endpoint", "http_request", "is_remote"),
}
"""Those of its attributes that are used."""

OTHERS = PolicyChanged | AttackBegan | AttackEnded
OF_AUTHENTICATION = [event for event in EXAMPLES if not isinstance(event, OTHERS)]


def mapped(event: AnyEvent) -> dict[str, Any]:
    """As it is posted."""
    body = ocsf.encode(event)
    assert body is not None
    found: dict[str, Any] = json.loads(body)
    return found


@pytest.mark.parametrize("event", OF_AUTHENTICATION, ids=lambda event: event.id)
def test_every_event_has_what_the_schema_requires(event: AnyEvent):
    """And nothing that the class does not know."""
    found = mapped(event)
    assert found.keys() >= REQUIRED
    assert found.keys() <= KNOWN
    assert found["service"]["name"]
    assert (found["category_uid"], found["class_uid"]) == (3, 3002)
    assert found["type_uid"] == 300_200 + found["activity_id"]
    assert found["activity_id"] in (0, 1, 2, 3, 4, 5, 99)
    assert found["severity_id"] in (0, 1, 2, 3, 4, 5, 6, 99)
    assert found["status_id"] in (0, 1, 2, 99)
    assert found["metadata"]["version"].startswith("1.")
    assert found["metadata"]["product"]["name"]
    assert found["metadata"]["uid"] == event.id
    assert found["time"] == round(event.timestamp.timestamp() * 1000)
    assert found["user"]["name"]


def test_a_block_is_a_logon_that_failed_with_where_it_came_from():
    """As a SIEM looks for a lockout."""
    found = next(map(mapped, (e for e in OF_AUTHENTICATION if e.id.startswith("blocked"))))
    assert (found["activity_id"], found["status_id"]) == (1, 2)
    assert found["status_detail"] == "ACCOUNT_LOCKED_OUT"
    assert found["src_endpoint"] == {"ip": "192.0.2.7"}
    assert found["http_request"] == {"user_agent": "curl"}


def test_an_operator_is_the_actor():
    """Of a block by hand."""
    by_hand = [found for found in map(mapped, OF_AUTHENTICATION) if "actor" in found]
    assert [found["actor"]["user"]["name"] for found in by_hand] == ["olga"]
    assert by_hand[0]["activity_name"] == "Block"


def test_an_operators_login_is_one():
    """With the operator as the user."""
    [found] = [mapped(event) for event in EXAMPLES if isinstance(event, OperatorLogin)]
    assert (found["activity_id"], found["status_id"], found["user"]["name"]) == (1, 1, "olga")


def test_a_policy_and_an_attack_are_no_authentication():
    """They are on the topic, and posted to webhooks of the other format."""
    others = [event for event in EXAMPLES if isinstance(event, OTHERS)]
    assert len(others) == 3
    assert {ocsf.encode(event) for event in others} == {None}
