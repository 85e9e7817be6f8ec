"""Events as OCSF has them."""

from __future__ import annotations

import json
from typing import Any, get_args

import jsonschema
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from events.messages import FOREVER
from tests.unit.workers.relay.test_documents import EXAMPLES
from tests.unit.workers.relay.test_event import row
from workers.relay import ocsf
from workers.relay.event import (
    AnyEvent,
    AttackBegan,
    AttackEnded,
    OfAccount,
    OperatorData,
    OperatorLogin,
    PolicyChanged,
    events_of,
)

OCSF = get_ocsf_schema(ocsf.SCHEMA_VERSION)
"""The schema as OCSF has published it, all of its classes and objects."""

AUTHENTICATION = jsonschema.Draft202012Validator(
    OcsfJsonSchemaEmbedded(OCSF).get_class_schema("authentication")
)
"""JSON Schema of the class: what it requires, every type and value, and that nothing else is in."""

OTHERS = PolicyChanged | AttackBegan | AttackEnded

NAMES = ("ana", "añá", "a" * 256, "\N{GRINNING FACE} @ '\"")
SOURCES = (None, "192.0.2.7", "2001:db8::7", "2001:db8:1234:5678:9abc:def0:1234:5678", "::1")


def all_events() -> list[AnyEvent]:
    """Every kind, by each cause, with and without what may be missing."""
    rows = [
        *(row(source=source, user_agent="curl") for source in SOURCES),
        row(until_ms=FOREVER, source="192.0.2.7"),
        *(
            row(kind=kind, operator=operator, reason=operator and "stolen", **more)
            for kind, more in (
                ("block", {}),
                ("block", {"until_ms": FOREVER}),
                *((kind, {"change": -1}) for kind in ("unblock", "password", "registered")),
            )
            for operator in (None, "olga")
        ),
        *(row(user=name, user_agent=name) for name in NAMES),
    ]
    last = EXAMPLES[-3]
    assert isinstance(last, OperatorLogin)
    logins = [
        OperatorLogin(id=last.id, timestamp=last.timestamp, data=OperatorData("olga", role, source))
        for role in ("read", "operate", "administer")
        for source in SOURCES
    ]
    return [*EXAMPLES, *(event for each in rows for event in events_of(each, {})), *logins]


OF_AUTHENTICATION = [event for event in all_events() if not isinstance(event, OTHERS)]


def mapped(event: AnyEvent) -> dict[str, Any]:
    """As it is posted."""
    body = ocsf.encode(event)
    assert body is not None
    found: dict[str, Any] = json.loads(body)
    return found


def differences(told: dict[str, Any]) -> list[str]:
    """Where it is not as the schema has it."""
    return [f"{each.json_path}: {each.message}" for each in AUTHENTICATION.iter_errors(told)]


def test_every_event_is_valid_by_the_schema_of_ocsf():
    """All kinds that are mapped, in every form that they have."""
    kinds = {type(event) for event in OF_AUTHENTICATION}
    assert kinds == {*get_args(OfAccount), OperatorLogin}
    for event in OF_AUTHENTICATION:
        assert differences(mapped(event)) == [], event


@pytest.mark.parametrize(
    "change",
    [
        {"time": "now"},
        {"severity_id": 17},
        {"activity_id": 42},
        {"user": {"type_id": 1}},
        {"src_endpoint": {"ip": "somewhere"}},
        {"source": "192.0.2.7"},
        {"service": None},
        {"metadata": {"version": "1.5.0"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_the_schema_does_not_know_is_found(change: dict[str, Any]):
    """So that its silence about the events means something. None: the attribute is missing."""
    told = mapped(OF_AUTHENTICATION[0]) | change
    assert differences({name: value for name, value in told.items() if value is not None})


def test_a_number_and_its_name_say_the_same():
    """A JSON Schema does not say that, and OCSF does: a name is the caption of its number."""
    compared = 0
    for event in OF_AUTHENTICATION:
        found = mapped(event)
        for part, of in (
            (found, OCSF["classes"]["authentication"]),
            (found["user"], OCSF["objects"]["user"]),
        ):
            for name, number in part.items():
                attribute = of["attributes"][name]
                word = part.get(attribute.get("sibling"))
                if word is not None and number != ocsf.OTHER:
                    assert word == attribute["enum"][str(number)]["caption"]
                    compared += 1
    assert compared > 5 * len(OF_AUTHENTICATION)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.id)
def test_an_event_says_when_it_was_and_by_which_version(event: AnyEvent):
    """With an id of its own, by which a SIEM drops what is posted again."""
    if isinstance(event, OTHERS):
        return
    found = mapped(event)
    assert found["class_uid"] == ocsf.CLASS_UID
    assert found["metadata"]["uid"] == event.id
    assert found["metadata"]["version"] == OCSF["version"]
    assert found["time"] == round(event.timestamp.timestamp() * 1000)


def test_a_block_is_a_logon_that_failed_with_where_it_came_from():
    """As a SIEM looks for a lockout."""
    found = next(map(mapped, (e for e in OF_AUTHENTICATION if e.id.startswith("blocked"))))
    assert (found["activity_id"], found["status_id"]) == (1, 2)
    assert found["status_detail"] == "ACCOUNT_LOCKED_OUT"
    assert found["src_endpoint"] == {"ip": "192.0.2.7"}
    assert found["http_request"] == {"user_agent": "curl"}


def test_an_operator_is_the_actor():
    """Of a block by hand."""
    told = [mapped(event) for event in EXAMPLES if not isinstance(event, OTHERS)]
    by_hand = [found for found in told if "actor" in found]
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
