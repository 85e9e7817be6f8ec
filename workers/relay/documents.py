"""The JSON Schema of the events and the AsyncAPI document of their topic, made from the code."""

from __future__ import annotations

from typing import Any

import msgspec

from events.topics import EVENTS
from version import VERSION
from workers.relay.event import KINDS, AnyEvent


def json_schema() -> dict[str, Any]:
    """What every event is valid against."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of Cerrojo",
        **msgspec.json.schema(AnyEvent),
    }


def asyncapi() -> dict[str, Any]:
    """The topic, and the messages in it."""
    _, components = msgspec.json.schema_components(
        KINDS.values(), ref_template="#/components/schemas/{name}"
    )
    messages = {
        kind.__name__: {
            "name": name,
            "title": (kind.__doc__ or "").splitlines()[0],
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        }
        for name, kind in KINDS.items()
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Cerrojo's events",
            "version": VERSION,
            "description": "At least once, and in order for each account, which is the record's "
            "key. Drop repetitions by `id`. docs/events.md says more.",
        },
        "defaultContentType": "application/json",
        "channels": {
            EVENTS: {
                "address": EVENTS,
                "description": "A topic of Kafka; CERROJO_TOPIC_PREFIX is before its name.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {"publish": {"action": "send", "channel": {"$ref": f"#/channels/{EVENTS}"}}},
        "components": {"messages": messages, "schemas": components},
    }
