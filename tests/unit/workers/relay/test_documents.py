"""The documents about the events are what the code says, and every event is valid by them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import jsonschema
import msgspec
import pytest

from events.messages import FOREVER
from events.topics import EVENTS
from local.event_documents import FILES, written
from tests.unit.workers.relay.test_event import END, row
from workers import metrics
from workers.relay.documents import asyncapi, json_schema
from workers.relay.event import KINDS, AnyEvent, Note, encode, event_of, events_of

NOTES = [
    Note(UUID(int=1), 7, "operator.login", {"operator": "olga", "role": "read", "source": None}),
    Note(
        *(UUID(int=2), 8, "attack.began"),
        {
            **{"failed_accounts": 600, "succeeded_accounts": 5},
            **{"sources": ["192.0.2.7"], "accounts": ["ana"]},
        },
    ),
    Note(
        *(UUID(int=3), 9, "attack.ended"),
        {"failed_accounts": 9, "succeeded_accounts": 9, "since": "2026-11-29T15:04:05.678+00:00"},
    ),
]

EXAMPLES = [
    *events_of(row(source="192.0.2.7", user_agent="curl"), {"ana": END}),
    *events_of(row(kind="block", until_ms=FOREVER, operator="olga", reason="stolen"), {}),
    *events_of(row(kind="password", change=-1), {}),
    *events_of(row(kind="policy", operator="olga"), {}),
    *map(event_of, NOTES),
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_is_what_the_code_says(file: Any):
    """Run `python -m local.event_documents` after a change."""
    assert file.read_text() == written(FILES[file]())


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_every_event_is_valid(event: AnyEvent):
    """And with a field of another type it is not."""
    validator = jsonschema.Draft202012Validator(json_schema())
    told = json.loads(encode(event))
    validator.validate(told)
    assert not validator.is_valid(told | {"timestamp": 1})
    assert not validator.is_valid(told | {"type": "something else"})
    assert not validator.is_valid(told | {"data": {}})


def test_there_is_an_example_of_each_kind():
    """A kind without one is not known to be valid."""
    assert {type(event) for event in EXAMPLES} == set(KINDS.values())


def test_asyncapi_names_the_topic_and_every_kind():
    """With the fields of each, and nothing that is not there."""
    document = asyncapi()
    assert [channel["address"] for channel in document["channels"].values()] == [EVENTS]
    messages = document["components"]["messages"]
    assert {message["name"] for message in messages.values()} == set(KINDS)
    for name, kind in KINDS.items():
        schema = document["components"]["schemas"][kind.__name__]
        assert schema["properties"]["type"] == {"enum": [name]}
        fields = {field.name for field in msgspec.structs.fields(kind)}
        assert schema["properties"].keys() == fields | {"type"}
    for reference in _references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_each_kind_is_counted_from_the_start():
    """Else nothing sees the first event of a kind."""
    [family] = metrics.EVENTS.collect()
    assert {sample.labels["type"] for sample in family.samples} == set(KINDS)


def _references(document: Any) -> list[str]:
    if isinstance(document, list):
        return [found for each in document for found in _references(each)]
    if not isinstance(document, dict):
        return []
    own = [document["$ref"]] if "$ref" in document else []
    return own + [found for each in document.values() for found in _references(each)]
